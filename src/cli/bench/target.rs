//! The server under load, and the sockets that face it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};

use super::credential::{Credential, CredentialArgs};
use super::driver::Client;
use super::link::Link;
use super::process::Processes;
use super::session::{Session, Step};
use super::transport::{Dial, TransportArgs};
use crate::wire::ChannelNumber;

/// Options that every mode has.
#[derive(Args, Debug)]
pub(super) struct TargetArgs {
    /// The server's address
    #[arg(long, default_value = "127.0.0.1:3478")]
    pub(super) server: SocketAddr,
    /// The local address of the clients; by default the one the route to the server has
    #[arg(long)]
    client_address: Option<IpAddr>,
    #[command(flatten)]
    credential: CredentialArgs,
    /// A process of the server, to report what it spends; repeat it for several
    #[arg(long, value_name = "PID")]
    server_pid: Vec<u32>,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The server under load.
pub(super) struct Target {
    pub(super) server: SocketAddr,
    /// The local address of the clients.
    pub(super) client_address: IpAddr,
    pub(super) processes: Processes,
    credential: Option<Rc<Credential>>,
    dial: Dial,
    seed: u64,
    /// The port that was last tried for a client.
    port: u16,
}

impl TargetArgs {
    pub(super) fn resolve(&self) -> Result<Target> {
        let client_address = match self.client_address {
            Some(address) if address.is_ipv4() != self.server.is_ipv4() => {
                bail!("the clients' address {address} is not of the same family as the server's")
            }
            Some(address) => address,
            None => route_to(self.server)?,
        };
        let age = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let mut target = Target {
            server: self.server,
            client_address,
            processes: Processes::new(self.server_pid.clone())?,
            credential: self.credential.resolve()?.map(Rc::new),
            dial: Dial::Udp,
            seed: age.as_secs() << 32 | u64::from(age.subsec_nanos()) ^ u64::from(std::process::id()) << 20,
            port: FIRST_PORT,
        };
        let [low, high, ..] = target.random().to_be_bytes();
        target.port += u16::from_be_bytes([low, high]) % (LAST_PORT - FIRST_PORT);
        Ok(target)
    }
}

impl Target {
    /// The same server, over what the options say.
    pub(super) fn over(self, transport: &TransportArgs) -> Result<Self> {
        Ok(Self { dial: transport.resolve(self.server)?, ..self })
    }

    /// A number that differs from run to run and from call to call.
    fn random(&mut self) -> u64 {
        super::payload::splitmix(&mut self.seed)
    }

    /// A number for one phase of a load, which tells its datagrams from those of any other.
    pub(super) fn phase(&mut self) -> u32 {
        (self.random() >> 32).try_into().expect("half of 64 bits fit into 32")
    }

    /// A client on a 5-tuple of its own that takes up `plan`.
    pub(super) fn client(
        &mut self,
        peer: SocketAddr,
        buffer: Option<usize>,
        plan: &'static [Step],
    ) -> Result<Client> {
        let link = match self.dial {
            Dial::Udp => Link::Udp(self.socket(buffer)?),
            Dial::Tcp | Dial::Tls(..) => Link::stream(self.connection()?, self.dial.tls()?),
        };
        let seed = self.random();
        let mut session = Session::new(self.credential.clone(), peer, ChannelNumber::FIRST, seed);
        session.begin(plan);
        Ok(Client { link, session })
    }

    /// A socket on a port of its own that is connected to the server.
    pub(super) fn socket(&mut self, buffer: Option<usize>) -> Result<UdpSocket> {
        let socket = self.on_next_port(|local, _| bind(local, buffer))?;
        socket.connect(self.server).context("cannot connect a socket to the server")?;
        Ok(socket)
    }

    /// A connection on a port of its own, which the server need not have accepted yet.
    pub(super) fn connection(&mut self) -> Result<TcpStream> {
        self.on_next_port(connect)
    }

    /// Calls `open` with one local address after the other, until one is free.
    fn on_next_port<S>(&mut self, open: impl Fn(SocketAddr, SocketAddr) -> io::Result<S>) -> Result<S> {
        for _ in FIRST_PORT..=LAST_PORT {
            self.port = if self.port < LAST_PORT { self.port + 1 } else { FIRST_PORT };
            match open(SocketAddr::new(self.client_address, self.port), self.server) {
                // The latter if a connection from there has ended just now.
                Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
                result => return result.with_context(|| cannot_open(self.client_address)),
            }
        }
        bail!("no port of {} is free for a client", self.client_address)
    }
}

/// Reads a span of time given in seconds, for the command line.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|span| *span <= LONGEST)
        .ok_or_else(|| "up to 3600 seconds, as a decimal number".to_owned())
}

/// A non-blocking UDP socket on a free port of `address`. A receive buffer size is a wish: the kernel caps it.
pub(super) fn udp_socket(address: IpAddr, buffer: Option<usize>) -> Result<UdpSocket> {
    bind(SocketAddr::new(address, 0), buffer).with_context(|| cannot_open(address))
}

fn bind(local: SocketAddr, buffer: Option<usize>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(size) = buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// Begins a connection. Small messages leave at once, as a client's do.
fn connect(local: SocketAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Ports of connections that have ended may be used again, unless it was to the same server within a second.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&local.into())?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        result => result?,
    }
    Ok(socket.into())
}

fn cannot_open(address: IpAddr) -> String {
    format!("cannot open a socket at {address} (`ulimit -n` limits how many there may be)")
}

/// The local address from which datagrams to `server` leave.
fn route_to(server: SocketAddr) -> Result<IpAddr> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).context("cannot open a socket")?;
    socket.connect(server).with_context(|| format!("there is no route to {server}"))?;
    Ok(socket.local_addr().context("a bound socket has an address")?.ip())
}

/// The longest load that can be asked for.
const LONGEST: Duration = Duration::from_secs(3600);
/// Where the clients' ports come from, in order: a server may remember a client for a while after it has gone and refuse
/// the next one at the same port with 437. Above are the ports that servers relay at by default.
const FIRST_PORT: u16 = 10_000;
const LAST_PORT: u16 = 49_151;
