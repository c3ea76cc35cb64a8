//! Functions of a text that call functions that call functions: what they unfold to is bounded.

use rhyton_graph::text;
use std::time::{Duration, Instant};

/// `levels` functions, each of which calls the one before `calls` times.
fn tower(levels: usize, calls: usize) -> String {
    let mut text = "fn @0 \"f0\" null\n  %0 = param \"x\" : float32[2]\n  return %0\n".to_string();
    for level in 1..levels {
        text += &format!("fn @{level} \"f{level}\" null\n  %0 = param \"x\" : float32[2]\n");
        for call in 0..calls {
            text += &format!("  %{} = call @{} (%{call}) : float32[2]\n", call + 1, level - 1);
        }
        text += &format!("  return %{calls}\n");
    }
    text
}

#[test]
fn calls_that_double_with_every_line_are_refused() {
    let start = Instant::now();
    let e = text::parse(&tower(60, 2)).unwrap_err().to_string();
    assert!(e.contains("unfold to") && e.contains("line "), "{e}");
    assert!(text::parse(&tower(12, 2)).is_ok());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn calls_that_nest_without_end_are_refused() {
    // Each level is a call of the walks over functions: without a bound the stack overflows.
    let e = text::parse(&tower(100_000, 1)).unwrap_err().to_string();
    assert!(e.contains("calls nest 65 deep"), "{e}");
    assert!(text::parse(&tower(60, 1)).is_ok());
}
