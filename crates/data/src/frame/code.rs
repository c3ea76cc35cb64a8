//! Categories as numbers.

use super::{Column, Frame};
use rhyton_tensor::{Error, Result, Tensor};

impl Frame {
    /// The different values of a column in order, numbers by size and text by its letters; missing cells left out.
    ///
    /// # Errors
    /// When the column does not exist.
    pub fn categories(&self, name: &str) -> Result<Vec<String>> {
        let column = self.column(name)?;
        if let Column::Number(v) = column {
            let mut v: Vec<f64> = v.iter().copied().filter(|x| !x.is_nan()).collect();
            v.sort_by(f64::total_cmp);
            v.dedup();
            return Ok(v.iter().map(f64::to_string).collect());
        }
        let cells: std::collections::BTreeSet<String> =
            (0..self.len()).filter_map(|i| column.cell(i)).collect();
        Ok(cells.into_iter().collect())
    }

    /// The column as int32 `[rows]`: the index of each cell in `categories`. What a sparse cross-entropy wants.
    ///
    /// # Errors
    /// When the column does not exist, or at the first cell that is missing or not among the categories.
    ///
    /// ```
    /// use rhyton_data::Frame;
    /// let t = Frame::from_csv_bytes("t.csv", b"kind\ndog\ncat\ndog\n")?;
    /// let kinds = t.categories("kind")?;
    /// assert_eq!(kinds, ["cat", "dog"]);
    /// assert_eq!(t.codes("kind", &kinds)?.as_slice::<i32>(), Some(&[1, 0, 1][..]));
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn codes(&self, name: &str, categories: &[String]) -> Result<Tensor> {
        let indices = self.indices(name, categories)?;
        if let Some(row) = indices.iter().position(Option::is_none) {
            return Err(Error::new(format!("column '{name}' has missing cells"))
                .place(self.line(row))
                .fix("drop_missing() leaves out such rows"));
        }
        Ok(Tensor::vector(indices.into_iter().flatten().map(|i| i as i32).collect()))
    }

    /// Replaces a column by one column of 0 and 1 per category, named `column_category`, as pandas'
    /// `get_dummies`; a missing cell gives zeros only. Take the categories from the training table and use them for
    /// every other, so that all get the same columns.
    ///
    /// # Errors
    /// When the column does not exist, when a new name is taken, or at the first cell not among the categories.
    ///
    /// ```
    /// use rhyton_data::Frame;
    /// let t = Frame::from_csv_bytes("t.csv", b"kind,age\ndog,3\ncat,5\n")?;
    /// let coded = t.one_hot("kind", &t.categories("kind")?)?;
    /// assert_eq!(coded.columns(), ["kind_cat", "kind_dog", "age"]);
    /// assert_eq!(coded.to_tensor()?.as_slice::<f32>(), Some(&[0.0, 1.0, 3.0, 1.0, 0.0, 5.0][..]));
    /// # Ok::<(), rhyton_tensor::Error>(())
    /// ```
    pub fn one_hot(&self, name: &str, categories: &[String]) -> Result<Frame> {
        let indices = self.indices(name, categories)?;
        let hot = |c: usize| indices.iter().map(|i| f64::from(u8::from(*i == Some(c)))).collect();
        let mut columns = Vec::new();
        for (other, column) in self.names.iter().zip(&self.columns) {
            if other == name {
                let new = categories.iter().enumerate();
                columns.extend(new.map(|(c, text)| (format!("{name}_{text}"), Column::Number(hot(c)))));
            } else {
                columns.push((other.clone(), column.clone()));
            }
        }
        Ok(Frame { lines: self.lines.clone(), ..Frame::new(self.source.clone(), columns)? })
    }

    fn indices(&self, name: &str, categories: &[String]) -> Result<Vec<Option<usize>>> {
        let column = self.column(name)?;
        let index: std::collections::HashMap<&str, usize> =
            categories.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
        let find = |row: usize| match column.cell(row) {
            None => Ok(None),
            Some(cell) => index.get(cell.as_str()).map(|i| Some(*i)).ok_or_else(|| {
                let some: Vec<&str> = categories.iter().take(20).map(String::as_str).collect();
                Error::new(format!(
                    "'{cell}' in column '{name}' is not one of the {} categories",
                    categories.len()
                ))
                .place(self.line(row))
                .expected(format!("one of {}", some.join(", ")))
                .fix("take the categories from a table that has them all")
            }),
        };
        (0..self.len()).map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_categories_by_size() {
        let t = Frame::from_csv_bytes("t", b"quality\n10\n9\n\n9\n").unwrap();
        assert_eq!(t.categories("quality").unwrap(), ["9", "10"]);
    }

    #[test]
    fn unseen_and_missing_cells() {
        let t = Frame::from_csv_bytes("t", b"k,x\na,1\n,2\nb,3\n").unwrap();
        let e = t.one_hot("k", &["a".into()]).unwrap_err().to_string();
        assert!(e.contains("'b' in column 'k'") && e.contains("t, line 4"), "{e}");
        let hot = t.one_hot("k", &t.categories("k").unwrap()).unwrap();
        assert_eq!(hot.to_tensor().unwrap().to_vec::<i32>(), [1, 0, 1, 0, 0, 2, 0, 1, 3]);
        assert!(t.codes("k", &t.categories("k").unwrap()).unwrap_err().to_string().contains("t, line 3"));
    }

    #[test]
    fn a_taken_name_is_told() {
        let t = Frame::from_csv_bytes("t", b"k,k_a\na,1\n").unwrap();
        assert!(t.one_hot("k", &["a".into()]).unwrap_err().to_string().contains("'k_a'"));
    }
}
