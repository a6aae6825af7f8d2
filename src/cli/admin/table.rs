//! Rows in columns, for people.

/// Each column as wide as its widest cell, two spaces apart.
pub(in crate::cli) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(width);
    for row in rows {
        for (wide, cell) in widths.iter_mut().zip(row) {
            *wide = (*wide).max(width(cell));
        }
    }
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, wide) in cells.iter().zip(widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(wide - width(cell) + 2));
        }
        line.trim_end().to_owned()
    };
    let mut lines = vec![line(head)];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.join("\n")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["1", "é", ""], ["22", "alice", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["ID", "USER", "Z"], &rows), "ID  USER   Z\n1   é\n22  alice  x");
        assert_eq!(table(["ID", "USER", "Z"], &[]), "ID  USER  Z");
    }
}
