//! How the inputs or outputs of a model are put together: one tensor, a list or a dictionary, nested at will.

use serde_json::{Map, Value as Json};

/// The arrangement of a model's inputs or outputs, without the tensors themselves.
///
/// The order of the tensors is Keras's: lists in their order, dictionaries in the order of their sorted keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Structure {
    /// One tensor.
    Leaf,
    /// One after the other.
    List(Vec<Structure>),
    /// By name, in the order in which the file has them.
    Named(Vec<(String, Structure)>),
}

impl Structure {
    /// `n` tensors as Keras holds them when nobody arranged them: one alone, several as a list.
    pub(crate) fn flat(n: usize) -> Structure {
        if n == 1 { Structure::Leaf } else { Structure::List(vec![Structure::Leaf; n]) }
    }

    /// The arrangement in `value`, and its leaves in order. `is_leaf` says where a tensor is.
    pub(crate) fn of<'a>(value: &'a Json, is_leaf: &impl Fn(&Json) -> bool) -> (Structure, Vec<&'a Json>) {
        let mut leaves = vec![];
        let structure = Structure::read(value, is_leaf, &mut leaves);
        (structure, leaves)
    }

    fn read<'a>(value: &'a Json, is_leaf: &impl Fn(&Json) -> bool, leaves: &mut Vec<&'a Json>) -> Structure {
        match value {
            Json::Array(items) if !is_leaf(value) => {
                Structure::List(items.iter().map(|v| Structure::read(v, is_leaf, leaves)).collect())
            }
            Json::Object(map) if !is_leaf(value) => {
                let mut entries: Vec<(usize, (&String, &Json))> = map.iter().enumerate().collect();
                entries.sort_by_key(|(_, (key, _))| *key);
                let mut made: Vec<(usize, (String, Structure))> = vec![];
                for (place, (key, v)) in entries {
                    made.push((place, (key.clone(), Structure::read(v, is_leaf, leaves))));
                }
                made.sort_by_key(|(place, _)| *place);
                Structure::Named(made.into_iter().map(|(_, entry)| entry).collect())
            }
            _ => {
                leaves.push(value);
                Structure::Leaf
            }
        }
    }

    /// The arrangement with these values as its leaves.
    pub(crate) fn fill(&self, leaves: &mut impl Iterator<Item = Json>) -> Json {
        match self {
            Structure::Leaf => leaves.next().unwrap_or_default(),
            Structure::List(items) => items.iter().map(|s| s.fill(leaves)).collect(),
            Structure::Named(items) => {
                let mut by_key: Vec<&(String, Structure)> = items.iter().collect();
                by_key.sort_by_key(|(key, _)| key);
                let mut made: Map<String, Json> =
                    by_key.iter().map(|(k, s)| (k.clone(), s.fill(leaves))).collect();
                items
                    .iter()
                    .map(|(k, _)| (k.clone(), made.remove(k).unwrap_or_default()))
                    .collect::<Map<_, _>>()
                    .into()
            }
        }
    }

    /// The sorted keys of a dictionary that holds tensors alone.
    pub(crate) fn keys(&self) -> Option<Vec<String>> {
        let Structure::Named(items) = self else { return None };
        let mut keys: Vec<String> = items.iter().map(|(key, _)| key.clone()).collect();
        keys.sort();
        items.iter().all(|(_, s)| *s == Structure::Leaf).then_some(keys)
    }

    /// Whether there is a dictionary in it.
    pub(crate) fn is_named(&self) -> bool {
        matches!(self, Structure::Named(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dictionaries_are_read_in_the_order_of_their_keys_and_written_in_their_own() {
        let value = json!({"b": [1, {"z": 2, "y": 3}], "a": 4});
        let (structure, leaves) = Structure::of(&value, &Json::is_number);
        assert_eq!(leaves, [&json!(4), &json!(1), &json!(3), &json!(2)]);
        let text = structure.fill(&mut leaves.into_iter().cloned()).to_string();
        assert_eq!(text, value.to_string());
        assert_eq!(structure.keys(), None);
        let (flat, _) = Structure::of(&json!({"b": 1, "a": 2}), &Json::is_number);
        assert_eq!(flat.keys().unwrap(), ["a", "b"]);
    }
}
