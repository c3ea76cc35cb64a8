//! Tables from text, plain or compressed, and what is usually done with them next.

use super::Target;
use crate::form::Form;
use rhyton::Result;
use rhyton::data::Csv;
use std::path::Path;

pub const TARGET: Target = Target {
    name: "csv",
    about: "tables: text to columns, printed, described, made a tensor",
    extension: "csv",
    seeds,
    time: super::TIME,
    form: Form::Lines,
    run,
};

fn seeds() -> Result<Vec<Vec<u8>>> {
    let texts: [&[u8]; 6] = [
        // x,y in gzip.
        b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xab\xd0\xa9\xe42\xd41\xe22\xd61\xe1\x02\0\x97D)\x80\x0c\0\0\0",
        b"x,y\n1,2\n3,4\n",
        b"\xef\xbb\xbfname,age,city\r\n\"Ann, \"\"A\"\"\",31,\"two\r\nlines\"\r\nBob,NA,\r\n",
        b"a,a,a,\n1,2,3,4\n-.5,inf,1e308,\n",
        b"one\n\n\n\n1\n",
        b"a;b;c\n1;2;3\n",
    ];
    Ok(texts.map(<[u8]>::to_vec).to_vec())
}

fn run(input: &[u8], _: &Path) -> Result<()> {
    let read = Csv::new().parse("input.csv", input);
    // The other ways to read the same bytes may refuse them, but nothing else.
    for other in [Csv::new().header(false), Csv::new().header(true).delimiter(b';').missing("?")] {
        other.parse("input.csv", input).ok();
    }
    let table = read?;
    let text = format!("{table}{}", table.describe());
    table.to_tensor().ok();
    table.drop_missing().to_tensor().ok();
    table.head(2);
    match text.is_empty() {
        true => Err(rhyton::Error::new("the table prints as nothing")),
        false => Ok(()),
    }
}
