use super::*;

/// One hand-made member; sizes and names may lie.
struct Member<'a> {
    name: &'a str,
    method: u16,
    data: &'a [u8],
    unpacked: u32,
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    })
}

/// The fields that the local and the central record share, from the version needed to the length of the extra field.
fn record(m: &Member) -> Vec<u8> {
    let mut r = vec![20, 0, 0, 0];
    r.extend(m.method.to_le_bytes());
    r.extend([0, 0, 0x21, 0]);
    r.extend(crc32(m.data).to_le_bytes());
    r.extend((m.data.len() as u32).to_le_bytes());
    r.extend(m.unpacked.to_le_bytes());
    r.extend((m.name.len() as u16).to_le_bytes());
    r.extend([0, 0]);
    r
}

fn forge(members: &[Member]) -> Vec<u8> {
    let (mut out, mut central) = (vec![], vec![]);
    for m in members {
        let start = out.len() as u32;
        out.extend(b"PK\x03\x04");
        out.extend(record(m));
        out.extend(m.name.as_bytes());
        out.extend(m.data);
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(record(m));
        central.extend([0; 10]);
        central.extend(start.to_le_bytes());
        central.extend(m.name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&central);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((central.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn stored<'a>(name: &'a str, data: &'a [u8]) -> Member<'a> {
    Member { name, method: 0, data, unpacked: data.len() as u32 }
}

fn refusal(bytes: Vec<u8>) -> String {
    Archive::from_bytes(bytes, "t.keras").map(|_| ()).unwrap_err().to_string()
}

/// A deflate stream of `n` zeros: one fixed-Huffman block of one literal and many longest matches.
fn deflated_zeros(matches: usize) -> (Vec<u8>, u32) {
    let mut bits = vec![1, 1, 0];
    let literal_zero = [0, 0, 1, 1, 0, 0, 0, 0];
    let longest_match = [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    bits.extend(literal_zero);
    (0..matches).for_each(|_| bits.extend(longest_match));
    bits.extend([0; 7]);
    let bytes = bits.chunks(8).map(|c| c.iter().enumerate().fold(0, |b, (i, bit)| b | bit << i)).collect();
    (bytes, 1 + 258 * matches as u32)
}

#[test]
fn members_are_listed_and_read_stored_or_deflated() {
    let (zeros, n) = deflated_zeros(50);
    // The checksum field covers the unpacked bytes, so the deflated member is made by hand with a patched one.
    let mut bytes = forge(&[
        stored("metadata.json", b"{}"),
        stored("assets/vocabulary.txt", b"a\nb"),
        Member { name: "zeros", method: 8, data: &zeros, unpacked: n },
    ]);
    let wrong = crc32(&zeros).to_le_bytes();
    let right = crc32(&vec![0; n as usize]).to_le_bytes();
    for i in 0..bytes.len() - 4 {
        if bytes[i..i + 4] == wrong {
            bytes[i..i + 4].copy_from_slice(&right);
        }
    }
    let mut a = Archive::from_bytes(bytes, "t.keras").unwrap();
    assert_eq!(a.names(), ["metadata.json", "assets/vocabulary.txt", "zeros"]);
    assert_eq!(a.read("assets/vocabulary.txt").unwrap(), b"a\nb");
    assert_eq!(a.read("zeros").unwrap(), vec![0; n as usize]);
    let e = a.read("config.json").unwrap_err().to_string();
    assert!(e.contains("no member \"config.json\"") && e.contains("metadata.json"), "{e}");
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in ["/etc/passwd", "../x", "a/../../x", "a\\..\\x", "C:/x", "a//b", ".", "a/./b", "x\0.json", ""]
    {
        let e = refusal(forge(&[stored(name, b"x")]));
        assert!(e.contains("would leave its folder") || e.contains("damaged"), "{name:?}: {e}");
        let mut out = Cursor::new(vec![]);
        assert!(ArchiveWriter::new(&mut out).add(name, b"x").is_err(), "{name:?}");
    }
}

#[test]
fn duplicate_members_are_refused() {
    let e = refusal(forge(&[stored("config.json", b"{}"), stored("config.json", b"[]")]));
    assert!(e.contains("twice"), "{e}");
    let e = refusal(forge(&[stored("a", b""), stored("a/", b"")]));
    assert!(e.contains("twice"), "{e}");
    let mut out = Cursor::new(vec![]);
    let mut w = ArchiveWriter::new(&mut out);
    w.add("a", b"1").unwrap();
    assert!(w.add("a", b"2").unwrap_err().to_string().contains("twice"));
}

#[test]
fn zip_bombs_are_refused_one_by_one_and_in_all() {
    // 206 MB out of 1.3 MB, in one member and in twenty; half of it is below the limit.
    let (zeros, n) = deflated_zeros(800_000);
    let bomb = |name| Member { name, method: 8, data: &zeros, unpacked: n };
    let e = refusal(forge(&[bomb("a")]));
    assert!(
        e.contains("unpacks from") && e.contains("zip bomb") && e.contains("RHYTON_MAX_UNPACKED_BYTES"),
        "{e}"
    );
    let many: Vec<String> = (0..20).map(|i| i.to_string()).collect();
    let (zeros, n) = deflated_zeros(40_000);
    let part = |name| Member { name, method: 8, data: &zeros, unpacked: n };
    let parts: Vec<Member> = many.iter().map(|name| part(name)).collect();
    assert!(refusal(forge(&parts)).contains("zip bomb"));
    assert!(Archive::from_bytes(forge(&parts[..10]), "t.npz").is_ok());
}

#[test]
fn a_member_longer_or_shorter_than_declared_is_an_error() {
    let (zeros, n) = deflated_zeros(1000);
    for lie in [10, n - 1, n + 1, u32::MAX - 1] {
        let bytes = forge(&[Member { name: "a", method: 8, data: &zeros, unpacked: lie }]);
        if let Ok(mut a) = Archive::from_bytes(bytes, "t.npz") {
            assert!(a.read("a").is_err(), "{lie}");
        }
    }
}

#[test]
fn other_kinds_of_files_are_named() {
    for (head, word) in [
        (&b"\x89HDF\r\n\x1a\n____"[..], "HDF5"),
        (b"\x93NUMPY\x01\x00", ".npy"),
        (b"", "empty"),
        (b"<!DOCTYPE html>", "web page"),
        (b"PK\x03\x04____", "cut short or damaged"),
    ] {
        let e = refusal(head.to_vec());
        assert!(e.contains(word) && e.contains("t.keras") && e.contains("fix:"), "{e}");
    }
}

#[test]
fn written_archives_are_stored_dated_1980_and_equal_for_equal_content() {
    let make = || {
        let mut out = Cursor::new(vec![]);
        let mut w = ArchiveWriter::new(&mut out);
        w.add("metadata.json", b"{}").unwrap();
        w.add("model.weights.h5", &[9; 1000]).unwrap();
        w.finish().unwrap();
        out.into_inner()
    };
    let bytes = make();
    assert_eq!(bytes, make());
    let general_flags_method_time_date = &bytes[6..14];
    assert_eq!(general_flags_method_time_date, [0, 0, 0, 0, 0, 0, 0x21, 0]);
    let mut a = Archive::from_bytes(bytes, "t").unwrap();
    assert_eq!(a.read("model.weights.h5").unwrap(), [9; 1000]);
}

/// A disk that takes so many writes, and notes what is asked of it once it is full.
struct Disk {
    left: usize,
    bytes: Cursor<Vec<u8>>,
    full: bool,
    asked: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.asked += usize::from(self.full);
        self.full |= self.left == 0;
        self.left = self.left.saturating_sub(1);
        if self.full { Err(ErrorKind::StorageFull.into()) } else { self.bytes.write(bytes) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// The zip library would try again when it is dropped, and write about it to standard error.
#[test]
fn an_archive_that_cannot_be_written_is_given_up_in_silence() {
    let write = |left: usize| {
        let mut disk = Disk { left, bytes: Cursor::default(), full: false, asked: 0 };
        let mut w = ArchiveWriter::new(&mut disk);
        let done = w.add("a", &[1; 100]).and_then(|()| w.add("b", &[2; 30])).and_then(|()| w.finish());
        (done, disk)
    };
    let (done, disk) = write(usize::MAX);
    done.unwrap();
    let writes = usize::MAX - disk.left;
    assert!(writes > 10);
    for left in 0..writes {
        let (done, disk) = write(left);
        let text = done.unwrap_err().to_string();
        assert!(text.contains("free some space"), "{left}: {text}");
        assert_eq!(disk.asked, 0, "{left}");
    }
}
