use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const START: Millis = Millis(1_000_000);

fn pool(addresses: &[&str], range: RangeInclusive<u16>) -> RelayPorts {
    let addresses: Vec<_> = addresses.iter().map(|ip| RelayAddress::direct(ip.parse().unwrap())).collect();
    RelayPorts::new(&addresses, range, [7; 32])
}

fn taken(pool: &RelayPorts, now: Millis) -> Vec<u32> {
    pool.usage(now).iter().map(|usage| usage.taken).collect()
}

fn address(bind: &str, external: &str) -> RelayAddress {
    RelayAddress { bind: bind.parse().unwrap(), external: external.parse().unwrap() }
}

fn any(pool: &RelayPorts) -> Taken {
    pool.take(START, Family::V4, CLIENT, PortRequest::Any).unwrap()
}

fn seconds(seconds: u64) -> Millis {
    START.after(Duration::from_secs(seconds))
}

#[test]
fn r01_twenty_thousand_even_ports_taken_and_released_leave_all_ports_free() {
    let pool = pool(&["198.51.100.1"], 49_152..=65_535);
    for _ in 0..20_000 {
        let taken = pool.take(START, Family::V4, CLIENT, PortRequest::Even).unwrap();
        assert_eq!((taken.bind.port() % 2, taken.reservation), (0, None));
        pool.release(taken.port);
    }
    assert_eq!(taken(&pool, START), [0]);
}

#[test]
fn r02_a_reserved_port_whose_token_is_never_used_is_free_after_thirty_seconds() {
    let pool = pool(&["198.51.100.1"], 50_000..=50_001);
    let first = pool.take(START, Family::V4, CLIENT, PortRequest::EvenAndReserveNext).unwrap();
    assert_eq!(first.bind.port(), 50_000);
    assert_eq!(taken(&pool, seconds(29)), [2]);
    let any = |now| pool.take(now, Family::V4, CLIENT, PortRequest::Any);
    assert_eq!(any(seconds(29)), Err(OpenError::NoCapacity));
    assert_eq!(taken(&pool, seconds(30)), [1]);
    let token = first.reservation.unwrap();
    let late = pool.take(seconds(30), Family::V4, CLIENT, PortRequest::Reserved(token));
    assert_eq!(late, Err(OpenError::TokenUnknown));
    assert_eq!(any(seconds(30)).unwrap().bind.port(), 50_001);
    pool.release(first.port);
}

#[test]
fn r09_a_full_pool_refuses_says_so_in_its_usage_and_recovers() {
    let pool = pool(&["198.51.100.1"], 50_000..=50_099);
    let held: Vec<_> =
        (0..100).map(|_| pool.take(START, Family::V4, CLIENT, PortRequest::Any).unwrap()).collect();
    for request in [PortRequest::Any, PortRequest::Even, PortRequest::EvenAndReserveNext] {
        assert_eq!(pool.take(START, Family::V4, CLIENT, request), Err(OpenError::NoCapacity));
    }
    let usage = pool.usage(START)[0];
    assert_eq!((usage.taken, usage.capacity), (100, 100));
    pool.release(held[40].port);
    let again = pool.take(START, Family::V4, CLIENT, PortRequest::Any).unwrap();
    assert_eq!(again.port, held[40].port);
    for taken in held {
        pool.release(taken.port);
    }
    assert_eq!(taken(&pool, START), [0]);
}

#[test]
fn the_token_of_a_pair_gives_the_next_port_once() {
    let pool = pool(&["198.51.100.1"], 50_000..=50_999);
    let first = pool.take(START, Family::V4, CLIENT, PortRequest::EvenAndReserveNext).unwrap();
    let token = first.reservation.unwrap();
    let reserved = || pool.take(seconds(29), Family::V4, CLIENT, PortRequest::Reserved(token));
    let second = reserved().unwrap();
    assert_eq!((second.bind.port(), second.reservation), (first.bind.port() + 1, None));
    assert_eq!(reserved(), Err(OpenError::TokenUnknown));
    // The reservation's time is over, but the port is in use.
    assert_eq!(taken(&pool, seconds(31)), [2]);
    pool.release(first.port);
    pool.release(second.port);
    assert_eq!(taken(&pool, seconds(31)), [0]);
    let unknown = PortRequest::Reserved(ReservationToken([0; 8]));
    assert_eq!(pool.take(START, Family::V4, CLIENT, unknown), Err(OpenError::TokenUnknown));
}

#[test]
fn a_token_is_no_use_for_the_other_family_and_stays_good() {
    let pool = pool(&["198.51.100.1", "2001:db8::1"], 50_000..=50_999);
    let first = pool.take(START, Family::V6, CLIENT, PortRequest::EvenAndReserveNext).unwrap();
    let token = PortRequest::Reserved(first.reservation.unwrap());
    assert_eq!(pool.take(START, Family::V4, CLIENT, token), Err(OpenError::TokenUnknown));
    let second = pool.take(START, Family::V6, CLIENT, token).unwrap();
    assert_eq!(second.bind, SocketAddr::new(first.bind.ip(), first.bind.port() + 1));
}

#[test]
fn a_pair_that_cannot_be_bound_is_given_back_whole() {
    let pool = pool(&["198.51.100.1"], 50_000..=50_001);
    let pair = pool.take(START, Family::V4, CLIENT, PortRequest::EvenAndReserveNext).unwrap();
    let token = pair.reservation.unwrap();
    pool.abandon(pair);
    assert_eq!(taken(&pool, START), [0]);
    let late = pool.take(START, Family::V4, CLIENT, PortRequest::Reserved(token));
    assert_eq!(late, Err(OpenError::TokenUnknown));
}

#[test]
fn loopback_addresses_are_for_loopback_clients_of_hosts_without_another() {
    let (v4, v6): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
    let only_loopback = pool(&["127.0.0.1", "::1"], 50_000..=50_999);
    let with_v4 = pool(&["127.0.0.1", "::1", "198.51.100.1"], 50_000..=50_999);
    let cases = [
        (&only_loopback, Family::V4, CLIENT, None),
        (&only_loopback, Family::V6, CLIENT, None),
        (&only_loopback, Family::V4, v4, Some("127.0.0.1")),
        (&only_loopback, Family::V6, v4, Some("::1")),
        (&only_loopback, Family::V4, v6, Some("127.0.0.1")),
        (&with_v4, Family::V4, v4, Some("198.51.100.1")),
        (&with_v4, Family::V4, CLIENT, Some("198.51.100.1")),
        (&with_v4, Family::V6, v6, Some("::1")),
        (&with_v4, Family::V6, CLIENT, None),
    ];
    for (number, (pool, family, client, expected)) in cases.into_iter().enumerate() {
        let taken = pool.take(START, family, client, PortRequest::Any);
        let expected = expected.map(|ip| ip.parse::<IpAddr>().unwrap()).ok_or(OpenError::FamilyUnsupported);
        assert_eq!(taken.map(|taken| taken.bind.ip()), expected, "case {number}");
    }
}

#[test]
fn several_addresses_share_the_load_and_help_each_other_out() {
    let pool = pool(&["198.51.100.1", "198.51.100.2", "198.51.100.3"], 50_000..=50_009);
    for _ in 0..15 {
        pool.take(START, Family::V4, CLIENT, PortRequest::Any).map(drop).unwrap();
    }
    assert_eq!(taken(&pool, START), [5, 5, 5]);
    for _ in 0..15 {
        pool.take(START, Family::V4, CLIENT, PortRequest::Any).map(drop).unwrap();
    }
    assert_eq!(pool.take(START, Family::V4, CLIENT, PortRequest::Any), Err(OpenError::NoCapacity));
}

#[test]
fn a_pair_that_is_not_to_be_had_leaves_nothing_taken() {
    let pool = pool(&["198.51.100.1", "198.51.100.2"], 50_001..=50_002);
    let pair = pool.take(START, Family::V4, CLIENT, PortRequest::EvenAndReserveNext);
    assert_eq!(pair, Err(OpenError::NoCapacity));
    assert_eq!(taken(&pool, START), [0, 0]);
}

#[test]
fn the_client_is_told_the_external_address() {
    let pool = RelayPorts::new(&[address("10.0.0.1", "203.0.113.1")], 50_000..=50_000, [0; 32]);
    let taken = pool.take(START, Family::V4, CLIENT, PortRequest::Any).unwrap();
    assert_eq!(taken.bind, "10.0.0.1:50000".parse().unwrap());
    assert_eq!(taken.external, "203.0.113.1:50000".parse().unwrap());
}

#[test]
fn ports_differ_with_the_seed() {
    let first = |seed| {
        let address = RelayAddress::direct("198.51.100.1".parse().unwrap());
        let pool = RelayPorts::new(&[address], 49_152..=65_535, [seed; 32]);
        (0..4)
            .map(|_| pool.take(START, Family::V4, CLIENT, PortRequest::Any).unwrap().bind.port())
            .collect::<Vec<_>>()
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

#[test]
fn ports_in_use_stay_taken_when_the_range_moves_and_come_back() {
    let pool = pool(&["198.51.100.1"], 50_000..=50_003);
    let addresses = [RelayAddress::direct("198.51.100.1".parse().unwrap())];
    let mut old: Vec<_> = (0..4).map(|_| any(&pool)).collect();
    old.sort_by_key(|taken| taken.bind.port());
    pool.reconfigure(&addresses, 50_002..=50_005);
    let usage = pool.usage(START)[0];
    assert_eq!((usage.taken, usage.capacity), (2, 4), "of the new range");
    let mut new = [any(&pool), any(&pool)].map(|taken| taken.bind.port());
    new.sort_unstable();
    assert_eq!(new, [50_004, 50_005], "what is bound is not given, and what is not is");
    for taken in &old {
        pool.release(taken.port);
    }
    assert_eq!(taken(&pool, START), [2]);
    let mut again = [any(&pool), any(&pool)].map(|taken| taken.bind.port());
    again.sort_unstable();
    assert_eq!(again, [50_002, 50_003]);
    let full = pool.take(START, Family::V4, CLIENT, PortRequest::Any);
    assert_eq!(full, Err(OpenError::NoCapacity), "ports outside of the range are not given again");
    pool.reconfigure(&addresses, 50_000..=50_001);
    assert_eq!(taken(&pool, START), [0]);
}

#[test]
fn a_reservation_outlives_a_change_and_ends_in_time() {
    let changes: [(&str, &[&str], RangeInclusive<u16>); 4] = [
        ("the same", &["198.51.100.1"], 50_000..=50_001),
        ("another range", &["198.51.100.1"], 60_000..=60_001),
        ("another address", &["198.51.100.2"], 50_000..=50_001),
        ("one address more", &["198.51.100.2", "198.51.100.1"], 50_000..=50_001),
    ];
    for (name, addresses, range) in changes {
        let addresses: Vec<_> = addresses.iter().map(|ip| address(ip, ip)).collect();
        for is_used in [true, false] {
            let pool = pool(&["198.51.100.1"], 50_000..=50_001);
            let first = pool.take(START, Family::V4, CLIENT, PortRequest::EvenAndReserveNext).unwrap();
            let second = PortRequest::Reserved(first.reservation.unwrap());
            pool.reconfigure(&addresses, range.clone());
            if is_used {
                let second = pool.take(seconds(29), Family::V4, CLIENT, second).unwrap();
                assert_eq!(second.bind, "198.51.100.1:50001".parse().unwrap(), "{name}");
                pool.release(second.port);
            } else {
                let late = pool.take(seconds(30), Family::V4, CLIENT, second);
                assert_eq!(late, Err(OpenError::TokenUnknown), "{name}");
            }
            pool.release(first.port);
            pool.reconfigure(&[address("198.51.100.1", "198.51.100.1")], 50_000..=50_001);
            assert_eq!(taken(&pool, seconds(31)), [0], "{name}");
        }
    }
}

#[test]
fn an_address_that_is_withdrawn_gives_nothing_and_takes_its_ports_back() {
    let pool = pool(&["198.51.100.1", "198.51.100.2"], 50_000..=50_001);
    let old: Vec<_> = (0..4).map(|_| any(&pool)).collect();
    let kept = address("198.51.100.2", "198.51.100.2");
    pool.reconfigure(&[kept], 50_000..=50_001);
    assert_eq!(pool.usage(START), [PortUsage { address: kept, taken: 2, capacity: 2 }]);
    // A port of the other address is the same number, and not the same port.
    let (withdrawn, kept): (Vec<_>, Vec<_>) = old.into_iter().partition(|taken| taken.bind.ip() != kept.bind);
    pool.release(withdrawn[0].port);
    assert_eq!(pool.take(START, Family::V4, CLIENT, PortRequest::Any), Err(OpenError::NoCapacity));
    pool.release(kept[0].port);
    assert_eq!(any(&pool).bind, kept[0].bind);
    let third = address("198.51.100.3", "198.51.100.3");
    pool.reconfigure(&[third], 50_000..=50_001);
    assert_eq!(any(&pool).bind.ip(), third.bind);
    pool.release(withdrawn[1].port);
    assert_eq!(taken(&pool, START), [1], "it did not go to the new address");
    pool.reconfigure(&[address("198.51.100.1", "198.51.100.1")], 50_000..=50_001);
    assert_eq!(taken(&pool, START), [0]);
}

#[test]
fn clients_may_lose_their_family_and_get_it_back() {
    let pool = pool(&["198.51.100.1", "2001:db8::1"], 50_000..=50_001);
    let v6 = || pool.take(START, Family::V6, CLIENT, PortRequest::Any);
    let before = v6().unwrap();
    pool.reconfigure(&[address("198.51.100.1", "198.51.100.1")], 50_000..=50_001);
    assert_eq!(v6(), Err(OpenError::FamilyUnsupported));
    pool.reconfigure(&[address("2001:db8::1", "2001:db8::1")], 50_000..=50_001);
    assert_ne!(v6().unwrap().bind, before.bind);
    assert_eq!(v6(), Err(OpenError::NoCapacity));
    pool.release(before.port);
    assert_eq!(v6().unwrap().bind, before.bind);
}

#[test]
fn addresses_that_come_and_go_leave_nothing_behind() {
    let pool = pool(&["198.51.100.1"], 50_000..=50_001);
    for number in 0..200 {
        let ip = IpAddr::from([198, 51, 100, number]);
        pool.reconfigure(&[RelayAddress { bind: ip, external: CLIENT }], 50_000..=50_001);
        let held = any(&pool);
        pool.reconfigure(&[RelayAddress::direct(ip)], 50_000..=50_001);
        pool.release(held.port);
    }
    let state = pool.lock();
    assert_eq!((state.pools.len(), state.pools.iter().flat_map(Pool::former).count()), (1, 0));
}

#[test]
fn allocations_keep_the_name_their_client_was_told() {
    let (inside, old, new) = ("10.0.0.1", "203.0.113.1", "203.0.113.9");
    let other = address("10.0.0.2", "203.0.113.2");
    let cases: [(&str, &[RelayAddress], RangeInclusive<u16>); 5] = [
        ("another name", &[address(inside, new)], 50_000..=50_999),
        ("no name of its own", &[address(inside, inside)], 50_000..=50_999),
        ("another range", &[address(inside, old)], 60_000..=60_999),
        ("another address", &[other], 50_000..=50_999),
        ("another address by the same name", &[address("10.0.0.2", old)], 50_000..=50_999),
    ];
    for (name, addresses, range) in cases {
        let pool = RelayPorts::new(&[address(inside, old)], 50_000..=50_999, [7; 32]);
        let first = any(&pool);
        let pair = pool.take(START, Family::V4, CLIENT, PortRequest::EvenAndReserveNext).unwrap();
        pool.reconfigure(addresses, range);
        let later = any(&pool);
        let token = PortRequest::Reserved(pair.reservation.unwrap());
        let second = pool.take(START, Family::V4, CLIENT, token).unwrap();
        assert_eq!(second.external, SocketAddr::new(pair.external.ip(), pair.external.port() + 1), "{name}");
        let mapping = pool.mapping();
        for taken in [&first, &pair, &second, &later] {
            assert_eq!(mapping.inward(taken.external), taken.bind, "{name}");
            assert_eq!(mapping.outward(taken.bind), taken.external, "{name}");
        }
        // A second change does not take the names of the first for those of today.
        pool.reconfigure(&[address(inside, "203.0.113.7")], 50_000..=50_999);
        let mapping = pool.mapping();
        for taken in [&first, &pair, &second, &later] {
            assert_eq!(mapping.inward(taken.external), taken.bind, "{name}");
            assert_eq!(mapping.outward(taken.bind), taken.external, "{name}");
        }
    }
}

#[test]
fn a_port_that_is_given_again_has_the_name_of_today() {
    let (old, new) = (address("10.0.0.1", "203.0.113.1"), address("10.0.0.1", "203.0.113.9"));
    let pool = RelayPorts::new(&[old], 50_000..=50_000, [7; 32]);
    let first = any(&pool);
    pool.reconfigure(&[new], 50_000..=50_000);
    let mapping = pool.mapping();
    assert_eq!(mapping.outward(first.bind), first.external);
    pool.release(first.port);
    let second = any(&pool);
    assert_eq!(second.external, "203.0.113.9:50000".parse().unwrap());
    assert_eq!(mapping.outward(second.bind), second.external, "also for workers that were told before");
    assert_eq!(mapping.inward(second.external), second.bind);
    assert_eq!(mapping.inward(first.external), first.external);
}
