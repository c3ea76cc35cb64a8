//! Changes of text in lines: whole lines, and words and numbers in them, once or wherever they stand.

use super::bytes::{self, below};
use rhyton_tensor::rng::Stream;

/// `parent` after one to four changes.
pub fn mutate(parent: &[u8], other: &[u8], random: &mut Stream) -> Vec<u8> {
    let text = String::from_utf8_lossy(parent);
    let mut lines: Vec<String> = text.split('\n').map(String::from).collect();
    let other = String::from_utf8_lossy(other);
    let others: Vec<&str> = other.split('\n').collect();
    for _ in 0..1 << random.below(3) {
        change(&mut lines, &others, random);
    }
    lines.join("\n").into_bytes()
}

fn change(lines: &mut Vec<String>, others: &[&str], random: &mut Stream) {
    if lines.is_empty() {
        lines.push(String::new());
    }
    let at = below(random, lines.len());
    let to = below(random, lines.len());
    match random.below(10) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(to, lines[at].clone()),
        2 => lines.swap(at, to),
        3 => lines.insert(at, others[below(random, others.len())].into()),
        4 => lines[at] = others[below(random, others.len())].into(),
        5 => {
            lines[at] =
                String::from_utf8_lossy(&bytes::mutate(lines[at].as_bytes(), b"", random)).into_owned()
        }
        6 | 7 => {
            let tokens = words(&lines[at]);
            if let Some(token) = pick(&tokens, random) {
                let new = replacement(&token, lines, others, random);
                lines[at] = replace(&lines[at], &token, &new, Some(below(random, 4)));
            }
        }
        _ => {
            // Everywhere: a size that changes in one place alone contradicts the others and is refused at once.
            if let Some(token) = pick(&words(&lines[at]), random) {
                let new = replacement(&token, lines, others, random);
                lines.iter_mut().for_each(|l| *l = replace(l, &token, &new, None));
            }
        }
    }
}

/// A number for a number, else a word from here or there.
fn replacement(token: &str, lines: &[String], others: &[&str], random: &mut Stream) -> String {
    if token.bytes().all(|b| b.is_ascii_digit()) && random.below(4) > 0 {
        return bytes::decimal(random);
    }
    let here = &lines[below(random, lines.len())];
    let there = others[below(random, others.len())];
    let tokens = words(if random.below(2) == 0 { here } else { there });
    pick(&tokens, random).unwrap_or_else(|| bytes::decimal(random))
}

fn pick(tokens: &[String], random: &mut Stream) -> Option<String> {
    tokens.get(below(random, tokens.len())).cloned()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(line: &str) -> Vec<String> {
    line.split(|c| !is_word(c)).filter(|w| !w.is_empty()).map(String::from).collect()
}

/// `line` with `new` for the word `old`: at its occurrence number `only`, or at all of them.
fn replace(line: &str, old: &str, new: &str, only: Option<usize>) -> String {
    let (mut out, mut rest, mut met) = (String::new(), line, 0);
    let count = words(line).iter().filter(|w| *w == old).count().max(1);
    while !rest.is_empty() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let hit = word == old;
        out.push_str(if hit && only.is_none_or(|n| n % count == met) { new } else { word });
        met += usize::from(hit);
        let gap = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_once_or_everywhere() {
        assert_eq!(replace("f[3, 30, 3]", "3", "9", None), "f[9, 30, 9]");
        assert_eq!(replace("f[3, 30, 3]", "3", "9", Some(1)), "f[3, 30, 9]");
        assert_eq!(replace("ä 3", "ä", "b", Some(4)), "b 3");
    }

    #[test]
    fn every_change_works_on_nothing_and_on_little() {
        let mut random = Stream::new(1, 0, 0);
        for start in ["", "a", "a 1\nb 2\n\u{fc}"] {
            for _ in 0..5_000 {
                mutate(start.as_bytes(), b"x 7\ny", &mut random);
            }
        }
    }
}
