//! Rows as they stand in files, in every way of writing them.

use proptest::prelude::*;

use super::*;

fn format() -> FileFormat {
    FileFormat {
        path: String::new(),
        delimiter: b',',
        quote: b'"',
        encoding: encoding_rs::UTF_8,
        header: Header::FirstRow,
        skip_lines: 0,
        origin: Origin::default(),
    }
}

fn read(bytes: &[u8], format: &FileFormat) -> Vec<(u64, Vec<String>, Option<RowFault>)> {
    let mut rows = Rows::open(bytes, format).unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let fields = row.fields.iter().map(str::to_owned).collect();
        all.push((row.line, fields, row.fault));
    }
    all
}

fn good(rows: &[(u64, &[&str])]) -> Vec<(u64, Vec<String>, Option<RowFault>)> {
    let row = |(line, fields): &(u64, &[&str])| {
        (
            *line,
            fields.iter().map(|&field| field.to_owned()).collect(),
            None,
        )
    };
    rows.iter().map(row).collect()
}

#[test]
fn rows_are_told_with_the_line_they_begin_on() {
    for bytes in [
        b"a,b\n1,2\n\n3,4\n".as_slice(),
        b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4",
        b"a,b\n1,2\n , \n3,4\n,\n\n",
    ] {
        assert_eq!(
            read(bytes, &format()),
            good(&[(2, &["1", "2"]), (4, &["3", "4"])])
        );
    }
    let quoted = b"a,b\r\n1,\"two\r\nlines, \"\"quoted\"\"\"\r\n3,4\r\n";
    let expected = good(&[(2, &["1", "two\r\nlines, \"quoted\""]), (4, &["3", "4"])]);
    assert_eq!(read(quoted, &format()), expected);
}

#[test]
fn titles_delimiters_and_missing_headers_are_a_matter_of_the_map() {
    let format = FileFormat {
        delimiter: b';',
        header: Header::Named(vec!["a".to_owned(), "b".to_owned()]),
        skip_lines: 2,
        ..format()
    };
    let bytes = b"Sales report\n\"2024\n1,5;x\n";
    assert_eq!(read(bytes, &format), good(&[(3, &["1,5", "x"])]));
}

#[test]
fn encodings_are_decoded_field_by_field() {
    let korean = encoding_named("euc-kr", b',').unwrap();
    let western = encoding_named("windows-1252", b',').unwrap();
    let (bytes, _, _) = korean.encode("이름,값\n김치,1\n");
    let format_korean = FileFormat {
        encoding: korean,
        ..format()
    };
    assert_eq!(read(&bytes, &format_korean), good(&[(2, &["김치", "1"])]));
    let format_western = FileFormat {
        encoding: western,
        ..format()
    };
    assert_eq!(
        read(b"a,b\nCaf\xe9,\x80 2\n", &format_western),
        good(&[(2, &["Café", "€ 2"])])
    );
    // A byte order mark says more than the map.
    assert_eq!(
        read(b"\xef\xbb\xbfa,b\nCaf\xc3\xa9,1\n", &format_western),
        good(&[(2, &["Café", "1"])])
    );
    assert!(encoding_named("utf-16le", b',').is_err());
    assert!(encoding_named("klingon", b',').is_err());
    assert!(encoding_named("shift_jis", b'|').is_err());
}

#[test]
fn a_broken_row_costs_that_row_only() {
    let rows = read(b"a,b\n1\n2,\xff\n3,4,5\n6,7, ,\n", &format());
    let faults: Vec<_> = rows
        .iter()
        .map(|(line, _, fault)| (*line, fault.clone()))
        .collect();
    let count = |found| Some(RowFault::ColumnCount { expected: 2, found });
    let encoding = RowFault::Encoding {
        column: "b".to_owned(),
        encoding: "UTF-8",
    };
    assert_eq!(
        faults,
        [(2, count(1)), (3, Some(encoding)), (4, count(3)), (5, None)]
    );
}

#[test]
fn an_open_quote_ends_the_reading() {
    let mut bytes = b"a,b\n1,\"".to_vec();
    bytes.resize(3 * MAX_ROW_BYTES, b'x');
    let mut rows = Rows::open(bytes.as_slice(), &format()).unwrap();
    let error = rows.next().unwrap_err();
    assert!(error.to_string().contains("line 2 does not end"), "{error}");
}

#[test]
fn headers_must_be_there_and_tell_columns_apart() {
    for (bytes, expected) in [
        (b"".as_slice(), "there is no header"),
        (b"a, a\n", "two columns are named `a`"),
        (b"a,\xff\n", "the header is not UTF-8"),
    ] {
        let Err(error) = Rows::open(bytes, &format()) else {
            panic!("{expected}");
        };
        assert_eq!(error.to_string(), expected);
    }
}

/// A field that a spreadsheet might hold, quotes and line ends included.
fn field() -> impl Strategy<Value = String> {
    "[a-zé김 ,;\"\r\n]{0,6}"
}

proptest! {
    #[test]
    fn every_written_table_is_read_back(
        table in prop::collection::vec(prop::collection::vec(field(), 3), 0..20),
        semicolon: bool,
        crlf: bool,
    ) {
        let delimiter = if semicolon { b';' } else { b',' };
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .terminator(terminator)
            .from_writer(Vec::new());
        writer.write_record(["a", "b", "c"]).unwrap();
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let format = FileFormat { delimiter, ..format() };
        let found: Vec<Vec<String>> =
            read(&bytes, &format).into_iter().map(|(_, fields, _)| fields).collect();
        let blank = |row: &&Vec<String>| row.iter().all(|field| field.trim().is_empty());
        let expected: Vec<Vec<String>> =
            table.iter().filter(|row| !blank(row)).cloned().collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let header = FileFormat {
            header: Header::Named(vec!["a".to_owned(), "b".to_owned()]),
            ..format()
        };
        let rows = read(&bytes, &header);
        let last = 1 + bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let lines: Vec<u64> = rows.iter().map(|(line, _, _)| *line).collect();
        prop_assert!(lines.is_sorted());
        prop_assert!(lines.iter().all(|line| (1..=last).contains(line)));
    }
}
