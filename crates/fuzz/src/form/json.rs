//! Changes of a tree of JSON: types, numbers, keys, class names; parts copied, moved, nested and left out.

use super::bytes::{below, number};
use rhyton_tensor::rng::Stream;
use serde_json::{Map, Value as Json, json};

/// Applies one to four changes; parts of `other` may go into `json`.
pub fn mutate(json: &mut Json, other: &Json, random: &mut Stream) {
    for _ in 0..1 << random.below(3) {
        change(json, other, random);
    }
}

fn change(json: &mut Json, other: &Json, random: &mut Stream) {
    let at = below(random, count(json));
    let donor = if random.below(2) == 0 { other.clone() } else { json.clone() };
    let Some(place) = node(json, at) else { return };
    match random.below(12) {
        0 => *place = scalar(random),
        1 => *place = compound(place, random),
        2..=4 => tweak(place, &donor, random),
        5 | 6 => leave_out(place, random),
        7 => repeat(place, random),
        8 => rename(place, &donor, random),
        9 => take_member(place, &donor, random),
        _ => *place = alike(place, &donor, random),
    }
}

/// Number of values in a tree, itself included.
fn count(json: &Json) -> usize {
    1 + match json {
        Json::Object(map) => map.values().map(count).sum(),
        Json::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

/// Value number `at` of a tree, each before those inside of it.
fn node(json: &mut Json, at: usize) -> Option<&mut Json> {
    fn walk<'a>(json: &'a mut Json, left: &mut usize) -> Option<&'a mut Json> {
        if *left == 0 {
            return Some(json);
        }
        *left -= 1;
        match json {
            Json::Object(map) => map.values_mut().find_map(|v| walk(v, left)),
            Json::Array(items) => items.iter_mut().find_map(|v| walk(v, left)),
            _ => None,
        }
    }
    walk(json, &mut { at })
}

fn pick(json: &Json, random: &mut Stream) -> Json {
    let mut all = json.clone();
    let at = below(random, count(json));
    node(&mut all, at).map(Json::take).unwrap_or_default()
}

fn scalar(random: &mut Stream) -> Json {
    match random.below(12) {
        0 => Json::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(""),
        3 => json!("nonsense"),
        4 => json!("a/b"),
        5 => json!([1e300, -1e300, 1e-300, 0.5, -0.5, 1.5][below(random, 6)]),
        6 => json!(-(i64::try_from(number(random) >> 1).unwrap_or(1))),
        7 | 8 => json!(random.below(9)),
        _ => json!(number(random)),
    }
}

fn compound(inside: &Json, random: &mut Stream) -> Json {
    match random.below(6) {
        0 => json!([]),
        1 => json!({}),
        2 => json!([[0, 1]]),
        3 => json!([inside]),
        4 => json!({ "class_name": inside, "config": inside }),
        _ => (0..1 + random.below(60))
            .fold(inside.clone(), |v, i| if i % 2 == 0 { json!([v]) } else { json!({"config": v}) }),
    }
}

/// A scalar of the same type, a little or very different; of a tree one of its parts.
fn tweak(place: &mut Json, donor: &Json, random: &mut Stream) {
    *place = match place {
        Json::Number(n) => match (n.as_i64(), random.below(8)) {
            (Some(n), 0) => json!(n.wrapping_add(1)),
            (Some(n), 1) => json!(n.wrapping_sub(1)),
            (Some(n), 2) => json!(n.wrapping_mul(2)),
            (Some(n), 3) => json!(n.wrapping_neg()),
            (Some(n), 4) => json!(n as f64 + 0.5),
            (None, 0..3) => json!(-n.as_f64().unwrap_or(0.0)),
            (None, 3..6) => json!(n.as_f64().unwrap_or(0.0) * 1e10),
            _ => scalar(random),
        },
        Json::Bool(b) => json!(!*b),
        Json::String(_) => alike(place, donor, random),
        Json::Null => scalar(random),
        Json::Array(_) | Json::Object(_) => return inside(place, donor, random),
    };
}

/// Changes one of the scalars below a tree: there are many more trees than a fair choice should meet.
fn inside(place: &mut Json, donor: &Json, random: &mut Stream) {
    let at = 1 + below(random, count(place).saturating_sub(1));
    if let Some(part) = node(place, at).filter(|p| !p.is_array() && !p.is_object()) {
        tweak(part, donor, random);
    }
}

/// A value of the same type from elsewhere: a class name for a class name, a layer for a layer.
fn alike(place: &Json, donor: &Json, random: &mut Stream) -> Json {
    let has_class = |v: &Json| v.get("class_name").is_some();
    for _ in 0..20 {
        let other = pick(donor, random);
        let same = std::mem::discriminant(place) == std::mem::discriminant(&other);
        if same && has_class(place) == has_class(&other) {
            return other;
        }
    }
    pick(donor, random)
}

fn leave_out(place: &mut Json, random: &mut Stream) {
    match children(place) {
        0 => *place = Json::Null,
        n => remove(place, below(random, n)),
    }
}

fn repeat(place: &mut Json, random: &mut Stream) {
    match place {
        Json::Array(items) if !items.is_empty() => {
            let copy = items[below(random, items.len())].clone();
            let times = 1 + if random.below(8) == 0 { below(random, 200) } else { 0 };
            // Copies of copies would grow without end.
            if items.len() + times < 2000 {
                items.extend(std::iter::repeat_n(copy, times));
            }
        }
        Json::Object(map) => {
            let value = map.values().nth(below(random, map.len())).cloned();
            map.insert(format!("copy_{}", random.below(3)), value.unwrap_or_default());
        }
        Json::String(s) if s.len() < 10_000 => *s = s.repeat(1 << random.below(5)),
        _ => {}
    }
}

/// A key of another object in place of one.
fn rename(place: &mut Json, donor: &Json, random: &mut Stream) {
    let names = keys(donor);
    let Json::Object(map) = place else { return };
    let at = below(random, map.len());
    let Some(new) = names.get(below(random, names.len())) else { return };
    let renamed = std::mem::take(map).into_iter().enumerate();
    *map = renamed.map(|(i, (k, v))| if i == at { (new.clone(), v) } else { (k, v) }).collect::<Map<_, _>>();
}

/// A member of another object, under its own key.
fn take_member(place: &mut Json, donor: &Json, random: &mut Stream) {
    let other = pick(donor, random);
    match (place, other) {
        (Json::Object(map), Json::Object(other)) => {
            let at = below(random, other.len());
            map.extend(other.into_iter().nth(at));
        }
        (Json::Array(items), other) if items.len() < 2000 => {
            items.insert(below(random, items.len() + 1), other)
        }
        _ => {}
    }
}

fn keys(json: &Json) -> Vec<String> {
    match json {
        Json::Object(map) => map.iter().flat_map(|(k, v)| [vec![k.clone()], keys(v)].concat()).collect(),
        Json::Array(items) => items.iter().flat_map(keys).collect(),
        _ => vec![],
    }
}

/// The tree without value number `step + 1`; `None` after the last one.
pub fn without(json: &Json, step: usize) -> Option<Json> {
    fn cut(json: &mut Json, left: &mut usize) -> bool {
        for i in 0..children(json) {
            if *left == 0 {
                remove(json, i);
                return true;
            }
            *left -= 1;
            if child(json, i).is_some_and(|c| cut(c, left)) {
                return true;
            }
        }
        false
    }
    let mut fewer = json.clone();
    cut(&mut fewer, &mut { step }).then_some(fewer)
}

fn children(json: &Json) -> usize {
    match json {
        Json::Object(map) => map.len(),
        Json::Array(items) => items.len(),
        _ => 0,
    }
}

fn child(json: &mut Json, i: usize) -> Option<&mut Json> {
    match json {
        Json::Object(map) => map.values_mut().nth(i),
        Json::Array(items) => items.get_mut(i),
        _ => None,
    }
}

fn remove(json: &mut Json, i: usize) {
    match json {
        Json::Object(map) => {
            let key = map.keys().nth(i).cloned();
            key.and_then(|k| map.shift_remove(&k));
        }
        Json::Array(items) if i < items.len() => drop(items.remove(i)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Json {
        json!({"class_name": "Dense", "config": {"units": 3, "name": "d", "axes": [1, 2.5, null]}})
    }

    #[test]
    fn every_value_is_reached_and_can_be_left_out() {
        let all = count(&sample());
        assert_eq!(all, 9);
        let mut tree = sample();
        assert_eq!(node(&mut tree, 3), Some(&mut json!(3)));
        assert_eq!(node(&mut tree, all), None);
        let fewer: Vec<Json> = (0..).map_while(|i| without(&sample(), i)).collect();
        assert_eq!(fewer.len(), all - 1);
        assert!(fewer.iter().all(|j| count(j) < all));
    }

    #[test]
    fn changes_reach_every_part_and_stay_small() {
        let mut random = Stream::new(2, 0, 0);
        let (mut units, mut class) = (std::collections::HashSet::new(), 0);
        for _ in 0..5_000 {
            let mut tree = sample();
            mutate(&mut tree, &json!({"class_name": "LSTM", "a": [true]}), &mut random);
            units.insert(tree["config"]["units"].to_string());
            class += usize::from(tree["class_name"] == "LSTM");
            assert!(count(&tree) < 20_000);
        }
        assert!(units.len() > 50 && class > 20, "{} {class}", units.len());
    }
}
