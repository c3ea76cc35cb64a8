//! Tables as they are found in the wild; each test passes over files that this machine does not have.

use rhyton_data::{Column, Csv, Frame, Standardize, check_finite, timeseries_windows};
use rhyton_tensor::testing::shared;

#[test]
fn wine_quality_has_the_statistics_numpy_gives() {
    let Some(path) = shared("data/uci_tabular/winequality-red.csv") else { return };
    assert!(Frame::read_csv(&path).unwrap_err().to_string().contains("not names"));
    let t = Csv::new().header(false).read(&path).unwrap();
    assert_eq!((t.len(), t.columns().len()), (1599, 12));
    let d = t.describe();
    let got = d.column("8").unwrap().numbers().unwrap();
    // numpy: mean, std(ddof=1), quantile(.., [0, .25, .5, .75, 1])
    let want = [1599.0, 3.311_113_195_747_341_6, 0.154_386_464_903_542_77, 2.74, 3.21, 3.31, 3.4, 4.01];
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
    let x = t.to_tensor().unwrap();
    check_finite("wine", &x).unwrap();
    let sum: f64 = x.to_vec::<f64>().iter().sum();
    assert!((sum - 152_084.781_94).abs() < 0.05, "{sum}");
}

#[test]
fn beijing_air_has_missing_cells_and_a_text_column() {
    let Some(path) = shared("data/timeseries/pollution.csv.gz") else { return };
    let t = Frame::read_csv(&path).unwrap();
    assert_eq!((t.len(), t.column("pm2.5").unwrap().missing()), (43_824, 2067));
    assert_eq!(t.categories("cbwd").unwrap(), ["NE", "NW", "SE", "cv"]);
    let e = t.to_tensor().unwrap_err().to_string();
    assert!(
        e.contains("column 'pm2.5' has 2067 missing cells") && e.contains("pollution.csv.gz, line 2"),
        "{e}"
    );
    let e = t.select(&["cbwd"]).unwrap().to_tensor().unwrap_err().to_string();
    assert!(e.contains("'NW' is not a number"), "{e}");
    let t = t.drop_missing().one_hot("cbwd", &t.categories("cbwd").unwrap()).unwrap();
    let x = t.drop_columns(&["No"]).unwrap().to_tensor().unwrap();
    assert_eq!(x.shape(), [43_824 - 2067, 15]);
    let scaled = Standardize::fit(&x).unwrap().apply(&x).unwrap();
    check_finite("x", &scaled).unwrap();
    let (windows, next) = timeseries_windows(&scaled.slice_rows(0..1000).unwrap(), 24, 1).unwrap();
    assert_eq!((windows.shape(), next.shape()), (&[976, 24, 15][..], &[976, 1, 15][..]));
}

#[test]
fn adult_has_spaces_question_marks_and_an_empty_last_line() {
    let Some(path) = shared("data/uci_tabular/adult-train.csv.gz") else { return };
    let t = Csv::new().header(false).missing("?").read(&path).unwrap();
    assert_eq!((t.len(), t.column("1").unwrap().missing()), (32_561, 1836));
    let classes = t.categories("14").unwrap();
    assert_eq!(classes, ["<=50K", ">50K"]);
    let y = t.codes("14", &classes).unwrap().to_vec::<i32>();
    assert_eq!(y.iter().sum::<i32>(), 7841);
}

#[test]
fn every_table_at_hand_is_read_in_full() {
    let files = [
        ("uci_tabular/abalone.csv", false, 4177, 9),
        ("uci_tabular/banknote_authentication.csv", false, 1372, 5),
        ("uci_tabular/german.csv", false, 1000, 21),
        ("uci_tabular/pima-indians-diabetes.csv", false, 768, 9),
        ("uci_tabular/sonar.csv", false, 208, 61),
        ("uci_tabular/winequality-white.csv", false, 4898, 12),
        ("timeseries/daily-min-temperatures.csv", true, 3650, 2),
        ("timeseries/monthly-sunspots.csv", true, 2820, 2),
        ("etth1/ETTh1.csv", true, 17_420, 8),
        ("sklearn/iris.csv", true, 150, 5),
    ];
    for (name, header, rows, columns) in files {
        let Some(path) = shared(&format!("data/{name}")) else { continue };
        let t = Csv::new().header(header).read(&path).unwrap();
        assert_eq!((t.len(), t.columns().len()), (rows, columns), "{name}");
        let numbers = t.columns().iter().filter(|c| matches!(t.column(c), Ok(Column::Number(_)))).count();
        assert!(numbers > 0, "{name}");
    }
}
