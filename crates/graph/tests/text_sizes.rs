//! Texts of functions whose numbers are not what was written: an error or a function, never a panic.

use rhyton_graph::reference::NullBackend;
use rhyton_graph::testing::{bindings, random_function};
use rhyton_graph::{Function, bounds, compile, interpret, memory, text};
use rhyton_tensor::Tensor;
use rhyton_tensor::rng::Stream;

const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "2",
    "7",
    "4294967296",
    "17592186044416",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "batch*3074457345618258603",
    "max(batch,2)*max(batch,2)*2305843009213693952",
];

/// `written` with one to three of its numbers replaced; those that name values and types stay.
fn changed(written: &str, random: &mut Stream) -> String {
    let mut out = written.to_string();
    for _ in 0..=random.below(3) {
        let bytes = out.as_bytes();
        let starts: Vec<usize> = (1..bytes.len())
            .filter(|i| {
                bytes[*i].is_ascii_digit()
                    && matches!(bytes[i - 1], b'"' | b'[' | b':' | b',' | b' ' | b'*' | b'+' | b'-')
            })
            .collect();
        let Some(at) = starts.get(random.below(starts.len() as u32) as usize) else { return out };
        let len = bytes[*at..].iter().take_while(|b| b.is_ascii_digit()).count();
        out.replace_range(*at..at + len, NUMBERS[random.below(NUMBERS.len() as u32) as usize]);
    }
    out
}

/// Everything that is done with a function before it runs.
fn prepare(f: &Function) {
    let Ok(plan) = compile(f, 0, &[], &NullBackend) else { return };
    for batch in [0, 3, usize::MAX] {
        let _ = bounds::check(&plan, &bindings(batch));
        if let Ok(layout) = memory::layout(&plan, &bindings(batch)) {
            assert!(layout.total >= layout.peak);
        }
    }
}

#[test]
fn other_numbers_are_no_panic() {
    let mut random = Stream::new(9, 0, 0);
    let mut read = 0;
    for seed in 0..150 {
        let written = text::print(&random_function(seed, 10));
        for _ in 0..12 {
            if let Ok(f) = text::parse(&changed(&written, &mut random)) {
                prepare(&f);
                read += 1;
            }
        }
    }
    println!("{read} of 1800 texts could be read");
    assert!((50..1750).contains(&read), "{read}");
}

#[test]
fn sizes_that_wrap_around_are_refused_with_their_line() {
    let lines = |op: &str, ty: &str| {
        format!(
            "fn @0 \"f\" null\n  %0 = param \"x\" : float32[batch, 6]\n  %1 = movement {op} (%0) : {ty}\n  return %1\n"
        )
    };
    let refused = |op: &str, ty: &str, what: &str| {
        let e = text::parse(&lines(op, ty)).unwrap_err().to_string();
        assert!(e.contains(what) && e.contains("line 3"), "{e}");
    };
    // 2^63 - 1 steps between entries.
    let slice = r#"{"slice":{"axis":1,"start":"0","len":"3","step":9223372036854775807}}"#;
    refused(slice, "float32[batch, 3]", "does not fit axis 1");
    let pad = r#"{"pad":{"axis":1,"lo":"9223372036854775807","hi":"1","between":0,"value":"0f32"}}"#;
    refused(pad, "float32[batch, 7]", "the size of axis 1 is too large");
    let pad = r#"{"pad":{"axis":1,"lo":"0","hi":"0","between":9223372036854775807,"value":"0f32"}}"#;
    refused(pad, "float32[batch, 6]", "the size of axis 1 is too large");
    let param = "fn @0 \"f\" null\n  %0 = param \"x\" : float32[4294967296, 4294967296]\n  return %0\n";
    let e = text::parse(param).unwrap_err().to_string();
    assert!(e.contains("too many elements") && e.contains("line 2"), "{e}");
}

#[test]
fn windows_that_reach_too_far_are_refused() {
    let conv = |stride: usize, pad: &str| {
        let attrs = format!(
            r#"{{"conv":{{"kind":"forward","sizes":["2"],"strides":[{stride}],"dilation":[1],"pad_lo":["{pad}"],"groups":1}}}}"#
        );
        let text = format!(
            "fn @0 \"f\" null\n  %0 = param \"x\" : float32[1, 4, 1]\n  %1 = param \"w\" : float32[1, 1, 1]\n  %2 = contract {attrs} (%0, %1) : float32[1, 2, 1]\n  return %2\n"
        );
        text::parse(&text).unwrap()
    };
    let args = [Tensor::try_full([1, 4, 1], 1.0f32).unwrap(), Tensor::try_full([1, 1, 1], 1.0f32).unwrap()];
    for (stride, pad) in [(1 << 60, "0"), (usize::MAX, "0"), (1, "9223372036854775807")] {
        let f = conv(stride, pad);
        let plan = compile(&f, 0, &[], &NullBackend).unwrap();
        let e = bounds::check(&plan, &bindings(1)).unwrap_err().to_string();
        assert!(e.contains("reach too far"), "{e}");
        assert!(interpret(&f, &args).unwrap_err().to_string().contains("reach too far"));
    }
    assert!(bounds::check(&compile(&conv(2, "0"), 0, &[], &NullBackend).unwrap(), &bindings(1)).is_ok());
}
