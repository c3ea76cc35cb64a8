//! What an input is made of, and so how it is changed and made smaller.

mod bytes;
mod json;
mod lines;

use rhyton::Result;
use rhyton::io::{Archive, ArchiveWriter};
use rhyton_tensor::rng::Stream;
use serde_json::Value as Json;

/// The make of a target's inputs.
pub enum Form {
    /// Nothing but bytes.
    Bytes,
    /// Lines of text.
    Lines,
    /// A zip archive: its members are changed, so that checksums and offsets stay right.
    Archive,
    /// JSON somewhere in a file.
    Json(Envelope),
}

/// JSON and the file around it.
pub struct Envelope {
    /// The JSON in a file, if the file is whole enough.
    pub open: fn(&[u8]) -> Option<Json>,
    /// The file with other JSON in it.
    pub close: fn(&Json, &[u8]) -> Option<Vec<u8>>,
}

impl Form {
    /// A changed `parent`; parts of `other` may go into it.
    pub fn mutate(&self, parent: &[u8], other: &[u8], random: &mut Stream) -> Vec<u8> {
        let formed = match (self, random.below(8)) {
            // The container itself is hostile now and then.
            (_, 0) | (Form::Bytes, _) => None,
            (Form::Lines, _) => Some(lines::mutate(parent, other, random)),
            (Form::Archive, _) => in_archive(parent, other, random),
            (Form::Json(envelope), _) => envelope.mutate(parent, other, random),
        };
        formed.unwrap_or_else(|| bytes::mutate(parent, other, random))
    }

    /// A smaller input that is `still` as it should be: parts are left out as long as that helps.
    pub fn shrink(
        &self,
        mut input: Vec<u8>,
        mut still: impl FnMut(&[u8]) -> Result<bool>,
    ) -> Result<Vec<u8>> {
        loop {
            let before = input.len();
            let mut step = 0;
            while let Some(fewer) = self.smaller(&input, step) {
                if fewer.len() < input.len() && still(&fewer)? {
                    // The same step may help again: what followed has moved up.
                    input = fewer;
                } else {
                    step += 1;
                }
            }
            if input.len() == before {
                return Ok(input);
            }
        }
    }

    /// The input without its part number `step`; `None` after the last one. Parts come in falling sizes.
    fn smaller(&self, input: &[u8], step: usize) -> Option<Vec<u8>> {
        let json = match self {
            Form::Json(e) => (e.open)(input).map(|json| (e, json)),
            _ => None,
        };
        match json {
            Some((envelope, json)) => (envelope.close)(&json::without(&json, step)?, input),
            None => bytes::without(input, step),
        }
    }
}

impl Envelope {
    fn mutate(&self, parent: &[u8], other: &[u8], random: &mut Stream) -> Option<Vec<u8>> {
        let mut json = (self.open)(parent)?;
        let other = (self.open)(other).unwrap_or(Json::Null);
        json::mutate(&mut json, &other, random);
        (self.close)(&json, parent)
    }
}

/// The members of an archive by name.
pub fn members(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut archive = Archive::from_bytes(bytes.to_vec(), "input").ok()?;
    archive.names().to_vec().into_iter().map(|n| Some((n.clone(), archive.read(&n).ok()?))).collect()
}

/// An archive of these members.
pub fn archive(members: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut out = std::io::Cursor::new(vec![]);
    let mut writer = ArchiveWriter::new(&mut out);
    members.iter().try_for_each(|(name, content)| writer.add(name, content)).ok()?;
    writer.finish().ok()?;
    Some(out.into_inner())
}

fn in_archive(parent: &[u8], other: &[u8], random: &mut Stream) -> Option<Vec<u8>> {
    let mut all = members(parent)?;
    let others = members(other).unwrap_or_default();
    let at = random.below(u32::try_from(all.len()).ok()?.max(1)) as usize;
    let from = others.get(at % others.len().max(1)).map_or(&[][..], |(_, content)| content);
    let (name, content) = all.get_mut(at)?;
    match random.below(10) {
        0 => *name = String::from_utf8_lossy(&bytes::mutate(name.as_bytes(), from, random)).into_owned(),
        1 => drop(all.swap_remove(at)),
        2 => all.extend(others),
        _ => *content = bytes::mutate(content, from, random),
    }
    archive(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let needed = |b: &[u8]| Ok(b.contains(&b'x') && b.contains(&b'y'));
        assert_eq!(Form::Bytes.shrink(b"..x....aaaaaaaaaaaay..".to_vec(), needed).unwrap(), b"xy");
        let json = Form::Json(Envelope {
            open: |bytes| serde_json::from_slice(bytes).ok(),
            close: |json, _| Some(json.to_string().into_bytes()),
        });
        let input = br#"{"a": [1, {"x": 2}, 3], "b": {"c": null, "y": [4]}}"#.to_vec();
        let small = json.shrink(input, needed).unwrap();
        assert_eq!(std::str::from_utf8(&small), Ok(r#"{"a":[{"x":2}],"b":{"y":[]}}"#));
    }
}
