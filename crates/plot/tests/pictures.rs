//! Pictures are drawn from whatever numbers a training run leaves behind, or refused in words.

use rhyton_plot::{Chart, Heatmap, image_grid, learning_curves, save_panels};
use rhyton_tensor::rng::Stream;
use rhyton_tensor::{DType, Tensor};
use std::path::PathBuf;

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rhyton-plot-{}-{name}", std::process::id()))
}

/// What `draw` writes to an SVG file.
fn svg(name: &str, draw: impl Fn(&PathBuf) -> rhyton_tensor::Result<()>) -> String {
    let path = file(&format!("{name}.svg"));
    draw(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

/// Width, height and the distinct colours of a PNG.
fn png_facts(path: &PathBuf) -> (u32, u32, usize) {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let colours: std::collections::HashSet<&[u8]> = pixels.chunks(info.color_type.samples()).collect();
    (info.width, info.height, colours.len())
}

/// The texts of an SVG.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text").skip(1).filter_map(|t| t.split_once('>')?.1.split_once('<').map(|(t, _)| t)).collect()
}

#[test]
fn learning_curves_have_a_panel_a_quantity_whole_epochs_and_a_legend() {
    let history = [
        ("accuracy".to_string(), vec![0.5, 0.7, f64::NAN, 0.9, 0.95]),
        ("loss".to_string(), vec![2.0, 1.0, 0.5, 0.4, 0.3]),
        ("val_loss".to_string(), vec![2.0, 1.5, 1.0, 0.9, 0.8]),
        ("never".to_string(), vec![f64::NAN; 5]),
    ];
    let drawn = svg("curves", |p| learning_curves(&history, p));
    let texts = texts(&drawn);
    let count = |t: &str| texts.iter().filter(|x| **x == t).count();
    assert_eq!(
        (count("epoch"), count("training"), count("validation"), count("never")),
        (2, 2, 1, 0),
        "{texts:?}"
    );
    assert!(texts.iter().position(|t| *t == "loss") < texts.iter().position(|t| *t == "accuracy"));
    for epoch in ["1", "2", "3", "4", "5"] {
        assert_eq!(count(epoch), 2, "{epoch} in {texts:?}");
    }
    let path = file("curves.png");
    learning_curves(&history, &path).unwrap();
    let (width, height, colours) = png_facts(&path);
    assert!(width > 2000 && height > 700 && colours > 20, "{width} {height} {colours}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn validation_keeps_its_colour_without_training() {
    let both = [("val_loss".to_string(), vec![1.0, 0.5]), ("loss".to_string(), vec![0.9, 0.4])];
    let alone = svg("alone", |p| learning_curves(&both[..1], p));
    let together = svg("together", |p| learning_curves(&both, p));
    let (training, validation) = ("#0072b2", "#d55e00");
    let (alone, together) = (alone.to_lowercase(), together.to_lowercase());
    assert!(alone.contains(validation) && !alone.contains(training));
    assert!(together.contains(validation) && together.contains(training));
}

#[test]
fn gaps_split_a_line_and_a_lone_point_stays_visible() {
    let x: Vec<f64> = (0..7).map(f64::from).collect();
    let whole = svg("whole", |p| Chart::new("t").line("a", &x, &[1.0; 7]).save(p));
    let nan = f64::NAN;
    let split = svg("split", |p| Chart::new("t").line("a", &x, &[1.0, 1.0, nan, 1.0, nan, 1.0, 1.0]).save(p));
    let count = |svg: &str, mark: &str| svg.matches(mark).count();
    assert_eq!(count(&split, "<path"), count(&whole, "<path") + 1);
    assert_eq!(count(&split, "<circle"), count(&whole, "<circle") + 1);
    assert_eq!(texts(&split).iter().filter(|t| **t == "a").count(), 1, "one legend entry for all pieces");
}

#[test]
fn names_are_shown_as_they_are() {
    let drawn = svg("names", |p| Chart::new("a < b & $c$").line("<x>", &[0.0, 1.0], &[0.0, 1.0]).save(p));
    assert!(drawn.contains("a &lt; b &amp; $c$") && drawn.contains("&lt;x&gt;"), "{:?}", texts(&drawn));
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let refuse = |chart: Chart, text: &str| {
        let e = chart.save(file("never.png")).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    };
    refuse(Chart::new("t"), "there is nothing to draw");
    refuse(Chart::new("t").line("a", &[], &[]), "chart 't'");
    refuse(Chart::new("t").line("a", &[1.0, f64::NAN], &[f64::NAN, 1.0]), "there is nothing to draw");
    refuse(Chart::new("t").log_y().line("a", &[1.0], &[-1.0]), "finite positive");
    refuse(Chart::new("t").scatter("a", &[1.0], &[]), "series 'a' has 1 x values and 0 y values");
    assert!(save_panels(&[], "x.png").unwrap_err().to_string().contains("no charts"));
    let good = Chart::new("t").line("a", &[1.0, 2.0], &[1.0, 2.0]);
    for name in ["curve.jpg", "curve", ".png"] {
        assert!(good.save(name).unwrap_err().to_string().contains("ends in .png or .svg"), "{name}");
    }
    let e = good.save("/nowhere/at/all.png").unwrap_err().to_string();
    assert!(e.contains("/nowhere/at/all.png") && e.contains("create the folder `/nowhere/at` first"), "{e}");
}

/// Whoever has the old picture open sees it whole: the new one takes its place, and is not written over it.
#[cfg(unix)]
#[test]
fn a_picture_is_replaced_in_one_step() {
    let (path, held) = (file("replaced.svg"), file("held.svg"));
    let chart = |y: f64| Chart::new("t").line("a", &[1.0, 2.0], &[y, 2.0]);
    std::fs::remove_file(&held).ok();
    chart(1.0).save(&path).unwrap();
    std::fs::hard_link(&path, &held).unwrap();
    let old = std::fs::read(&path).unwrap();
    chart(7.0).save(&path).unwrap();
    assert!(std::fs::read(&held).unwrap() == old && std::fs::read(&path).unwrap() != old);
}

#[test]
fn any_numbers_are_drawn_or_refused_without_panic() {
    let mut random = Stream::new(11, 0, 0);
    let special =
        [0.0, -0.0, 1.0, 1e-320, 1e-290, 1e300, -1e300, 1e308, f64::MAX, f64::NAN, f64::INFINITY, -1e-9];
    let mut drawn = 0;
    for round in 0..300 {
        let n = random.below(6) as usize;
        let pick = |random: &mut Stream| match random.below(3) {
            0 => special[random.below(special.len() as u32) as usize],
            1 => f64::from(random.normal()) * 10f64.powi(random.below(600) as i32 - 300),
            _ => 1e9 + f64::from(random.uniform()),
        };
        let xs: Vec<f64> = (0..n).map(|_| pick(&mut random)).collect();
        let ys: Vec<f64> = (0..n).map(|_| pick(&mut random)).collect();
        let mut chart = Chart::new("any").line("l", &xs, &ys).scatter("s", &ys, &xs);
        if random.below(2) == 0 {
            chart = chart.log_y();
        }
        if random.below(2) == 0 {
            chart = chart.whole_x();
        }
        let path = file(if round % 50 == 0 { "any.png" } else { "any.svg" });
        if chart.save(&path).is_ok() {
            let written = std::fs::read(&path).unwrap();
            assert!(
                !written.is_empty() && !String::from_utf8_lossy(&written).contains("NaN"),
                "{xs:?} {ys:?}"
            );
            std::fs::remove_file(path).unwrap();
            drawn += 1;
        }
    }
    assert!(drawn > 100, "only {drawn} of 300 were drawn");
}

#[test]
fn heatmaps_show_rows_from_the_top_and_refuse_what_is_no_matrix() {
    let m = Tensor::new([2, 3], vec![1i32, 2, 3, 4, 5, 600_000]).unwrap();
    let drawn = svg("heat", |p| Heatmap::new("h", &m).rows("truth", &["up", "down"]).save(p));
    let texts = texts(&drawn);
    for t in ["h", "truth", "up", "down", "0", "2", "1", "5", "6.0e5"] {
        assert!(texts.contains(&t), "{t} in {texts:?}");
    }
    // `y` grows downwards in SVG.
    let height = |name: &str| -> f64 {
        let tag = drawn.split("<text").find(|t| t.contains(&format!(">{name}<"))).unwrap();
        tag.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    assert!(height("up") < height("down") && height("3") < height("5"));
    let refuse = |t: &Tensor, text: &str| {
        let e = Heatmap::new("h", t).save(file("never.png")).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    };
    refuse(&Tensor::vector(vec![1i32]), "shape [1]");
    refuse(&Tensor::zeros(DType::F32, [0, 3]), "shape [0, 3]");
    refuse(&Tensor::zeros(DType::F32, [65, 3]), "1 to 64");
    refuse(&Tensor::new([1, 2], vec![0.0f32, f32::NAN]).unwrap(), "row 0, column 1");
    let e = Heatmap::new("h", &m).columns("c", &["one"]).save(file("never.png")).unwrap_err().to_string();
    assert!(e.contains("1 names for 3 columns"), "{e}");
}

#[test]
fn image_grids_place_grey_and_colour_images() {
    let path = file("grid.png");
    image_grid(&Tensor::from_fn([5, 28, 28], |i| (i % 28) as f32 / 27.0), 3, &path).unwrap();
    assert_eq!(png_facts(&path), (3 * 116 + 4, 2 * 116 + 4, 28));
    let red = Tensor::new([1, 1, 1, 3], vec![255u8, 0, 0]).unwrap();
    image_grid(&red, 10, &path).unwrap();
    assert_eq!(png_facts(&path), (104, 104, 2));
    image_grid(&Tensor::from_fn([1, 120, 60, 1], |i| i as f32 - 5.0), 1, &path).unwrap();
    assert_eq!(png_facts(&path).0, 68);
    std::fs::remove_file(path).unwrap();
    let refuse = |t: &Tensor, columns: usize, name: &str, text: &str| {
        let e = image_grid(t, columns, file(name)).unwrap_err().to_string();
        assert!(e.contains(text), "{e}");
    };
    let good = Tensor::zeros(DType::U8, [1, 2, 2]);
    refuse(&good, 0, "g.png", "nothing to draw");
    refuse(&good, 1, "g.svg", "not a PNG");
    refuse(&Tensor::zeros(DType::U8, [1, 2, 2, 4]), 1, "g.png", "shape [1, 2, 2, 4]");
    refuse(&Tensor::zeros(DType::U8, [0, 2, 2]), 1, "g.png", "nothing to draw");
    refuse(&Tensor::new([1, 1, 1], vec![f32::NAN]).unwrap(), 1, "g.png", "image 0 holds NaN");
    refuse(&Tensor::zeros(DType::U8, [9000, 1, 1]), 90, "g.png", "too many");
}
