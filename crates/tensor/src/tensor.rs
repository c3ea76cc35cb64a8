//! Dense host arrays in row-major order.

use crate::{DType, Error, Result};
use half::{bf16, f16};
use std::fmt;
use std::sync::Arc;

macro_rules! elements {
    ($($variant:ident $type:ty, $to:expr, $from:expr;)*) => {
        /// The elements of a tensor, one vector per type.
        #[derive(Clone, PartialEq, Debug)]
        #[allow(missing_docs)]
        pub enum Data { $($variant(Vec<$type>),)* }

        impl Data {
            /// `n` zeros.
            pub fn zeros(dtype: DType, n: usize) -> Data {
                match dtype { $(DType::$variant => Data::$variant(vec![<$type>::default(); n]),)* }
            }

            /// The element type.
            pub fn dtype(&self) -> DType {
                match self { $(Data::$variant(_) => DType::$variant,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Data::$variant(v) => v.len(),)* }
            }

            /// True without elements.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Element `i` as a double; booleans are 0 and 1.
            pub fn get_f64(&self, i: usize) -> f64 {
                match self { $(Data::$variant(v) => ($to)(v[i]),)* }
            }

            /// Converts every element: floats to integers truncate and saturate, anything to bool is `!= 0`.
            pub fn cast(&self, dtype: DType) -> Data {
                match dtype { $(DType::$variant => Data::$variant(match self {
                    Data::$variant(same) => same.clone(),
                    other => other.convert($from),
                }),)* }
            }

            fn convert<T>(&self, from: impl Fn(f64) -> T) -> Vec<T> {
                match self { $(Data::$variant(v) => v.iter().map(|x| from(($to)(*x))).collect(),)* }
            }

            fn rows(&self, rows: &[usize], width: usize) -> Data {
                match self { $(Data::$variant(v) => {
                    let mut out = Vec::with_capacity(rows.len() * width);
                    for r in rows { out.extend_from_slice(&v[r * width..(r + 1) * width]); }
                    Data::$variant(out)
                })* }
            }

            fn extend(&mut self, other: &Data) -> bool {
                match (self, other) {
                    $((Data::$variant(a), Data::$variant(b)) => { a.extend_from_slice(b); true })*
                    _ => false,
                }
            }
        }

        $(impl Element for $type {
            const DTYPE: DType = DType::$variant;
            fn wrap(v: Vec<Self>) -> Data { Data::$variant(v) }
            fn peek(d: &Data) -> Option<&[Self]> {
                if let Data::$variant(v) = d { Some(v) } else { None }
            }
            fn peek_mut(d: &mut Data) -> Option<&mut [Self]> {
                if let Data::$variant(v) = d { Some(v) } else { None }
            }
        })*
    };
}

/// A Rust type that can be an element of a [`Tensor`].
pub trait Element: Copy + Send + Sync + 'static {
    /// Its element type.
    const DTYPE: DType;
    /// Wraps a vector.
    fn wrap(v: Vec<Self>) -> Data;
    /// The elements, when the type is this one.
    fn peek(d: &Data) -> Option<&[Self]>;
    /// The elements, when the type is this one.
    fn peek_mut(d: &mut Data) -> Option<&mut [Self]>;
}

elements! {
    Bool bool, |x: bool| f64::from(u8::from(x)), |x: f64| x != 0.0;
    U8 u8, |x: u8| f64::from(x), |x: f64| x as u8;
    I8 i8, |x: i8| f64::from(x), |x: f64| x as i8;
    U16 u16, |x: u16| f64::from(x), |x: f64| x as u16;
    I16 i16, |x: i16| f64::from(x), |x: f64| x as i16;
    U32 u32, |x: u32| f64::from(x), |x: f64| x as u32;
    I32 i32, |x: i32| f64::from(x), |x: f64| x as i32;
    U64 u64, |x: u64| x as f64, |x: f64| x as u64;
    I64 i64, |x: i64| x as f64, |x: f64| x as i64;
    F16 f16, |x: f16| x.to_f64(), f16::from_f64;
    BF16 bf16, |x: bf16| x.to_f64(), |x: f64| bf16::from_f32(x as f32);
    F32 f32, |x: f32| f64::from(x), |x: f64| x as f32;
    F64 f64, |x: f64| x, |x: f64| x;
}

/// A dense array on the host: element type, sizes, elements in row-major order. Cloning shares the elements.
///
/// ```
/// use rhyton_tensor::Tensor;
/// let t = Tensor::new([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(t.shape(), [2, 3]);
/// assert_eq!(t.rows(&[1])?.as_slice::<f32>(), Some(&[4.0, 5.0, 6.0][..]));
/// assert!(Tensor::new([2, 2], vec![1.0f32]).is_err());
/// # Ok::<(), rhyton_tensor::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Arc<Data>,
}

impl Tensor {
    /// A tensor of `shape` with these elements, row by row.
    ///
    /// # Errors
    /// When the number of elements is not the product of the sizes.
    pub fn new<T: Element>(shape: impl Into<Vec<usize>>, elements: Vec<T>) -> Result<Tensor> {
        Tensor::from_data(shape, T::wrap(elements))
    }

    /// A tensor of `shape` over `data`.
    ///
    /// # Errors
    /// When the number of elements is not the product of the sizes.
    pub fn from_data(shape: impl Into<Vec<usize>>, data: Data) -> Result<Tensor> {
        let shape = shape.into();
        match shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)) {
            Some(n) if n == data.len() => Ok(Tensor { shape, data: Arc::new(data) }),
            _ => Err(Error::new(format!("{} elements do not fill the shape {shape:?}", data.len()))
                .fix("give as many elements as the product of the sizes")),
        }
    }

    /// A one-dimensional tensor.
    pub fn vector<T: Element>(elements: Vec<T>) -> Tensor {
        Tensor { shape: vec![elements.len()], data: Arc::new(T::wrap(elements)) }
    }

    /// A tensor without axes.
    pub fn scalar<T: Element>(x: T) -> Tensor {
        Tensor { shape: vec![], data: Arc::new(T::wrap(vec![x])) }
    }

    /// All zeros (false).
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Tensor {
        let shape = shape.into();
        let n = shape.iter().product();
        Tensor { shape, data: Arc::new(Data::zeros(dtype, n)) }
    }

    /// Every element `value`.
    pub fn full<T: Element>(shape: impl Into<Vec<usize>>, value: T) -> Tensor {
        let shape = shape.into();
        let n = shape.iter().product();
        Tensor { shape, data: Arc::new(T::wrap(vec![value; n])) }
    }

    /// Element `i` is `f(i)`, in row-major order.
    pub fn from_fn<T: Element>(shape: impl Into<Vec<usize>>, f: impl FnMut(usize) -> T) -> Tensor {
        let shape = shape.into();
        let n = shape.iter().product();
        Tensor { shape, data: Arc::new(T::wrap((0..n).map(f).collect())) }
    }

    /// The sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, copied first when another tensor shares them.
    pub fn data_mut(&mut self) -> &mut Data {
        Arc::make_mut(&mut self.data)
    }

    /// The elements when they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::peek(&self.data)
    }

    /// The elements when they are of type `T`, copied first when another tensor shares them.
    pub fn as_slice_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        T::peek_mut(Arc::make_mut(&mut self.data))
    }

    /// The elements as `T`, converted when they are of another type.
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        match self.as_slice::<T>() {
            Some(v) => v.to_vec(),
            None => T::peek(&self.data.cast(T::DTYPE)).map(<[T]>::to_vec).unwrap_or_default(),
        }
    }

    /// The same values in another type.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype() {
            return self.clone();
        }
        Tensor { shape: self.shape.clone(), data: Arc::new(self.data.cast(dtype)) }
    }

    /// The same elements under other sizes.
    ///
    /// # Errors
    /// When the products of the sizes differ.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        let shape = shape.into();
        if shape.iter().product::<usize>() == self.len() {
            return Ok(Tensor { shape, data: self.data.clone() });
        }
        Err(Error::new(format!("a tensor of shape {:?} cannot be seen as {shape:?}", self.shape)))
    }

    /// The chosen entries along the first axis, in the order given.
    ///
    /// # Errors
    /// Without axes, or when an index is out of range.
    pub fn rows(&self, rows: &[usize]) -> Result<Tensor> {
        let n = *self.shape.first().ok_or_else(|| Error::new("a scalar has no rows"))?;
        if let Some(bad) = rows.iter().find(|r| **r >= n) {
            return Err(Error::new(format!("row {bad} is out of range for {n} rows")));
        }
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        let width = self.shape[1..].iter().product();
        Ok(Tensor { shape, data: Arc::new(self.data.rows(rows, width)) })
    }

    /// The entries `range` along the first axis.
    ///
    /// # Errors
    /// Without axes, or when the range is out of bounds.
    pub fn slice_rows(&self, range: std::ops::Range<usize>) -> Result<Tensor> {
        self.rows(&range.collect::<Vec<_>>())
    }

    /// Joins along the first axis.
    ///
    /// # Errors
    /// Without parts, or when their types or other sizes differ.
    pub fn concat_rows(parts: &[Tensor]) -> Result<Tensor> {
        let first = parts.first().ok_or_else(|| Error::new("nothing to join"))?;
        let mut shape = first.shape.clone();
        let mut data = (*first.data).clone();
        for p in &parts[1..] {
            if p.shape.get(1..) != first.shape.get(1..) || p.rank() == 0 || !data.extend(&p.data) {
                return Err(Error::new(format!(
                    "cannot join {} {:?} and {} {:?}",
                    first.dtype(),
                    first.shape,
                    p.dtype(),
                    p.shape
                )));
            }
            shape[0] += p.shape[0];
        }
        Tensor::from_data(shape, data)
    }

    /// True when shapes and types are equal and every element has the same bits (NaN equals itself).
    pub fn same_bits(&self, other: &Tensor) -> bool {
        self.shape == other.shape
            && self.dtype() == other.dtype()
            && self.to_le_bytes() == other.to_le_bytes()
    }

    /// The elements as little-endian bytes; booleans are 0 and 1.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        macro_rules! go {
            ($($v:ident)*) => { match &*self.data {
                Data::Bool(v) => v.iter().map(|b| u8::from(*b)).collect(),
                $(Data::$v(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),)*
            } };
        }
        go!(U8 I8 U16 I16 U32 I32 U64 I64 F16 BF16 F32 F64)
    }

    /// A tensor from little-endian bytes.
    ///
    /// # Errors
    /// When the number of bytes does not fit the shape and type.
    pub fn from_le_bytes(dtype: DType, shape: impl Into<Vec<usize>>, bytes: &[u8]) -> Result<Tensor> {
        let shape = shape.into();
        let wanted = shape.iter().try_fold(dtype.size_bytes(), |a, b| a.checked_mul(*b));
        if wanted != Some(bytes.len()) {
            return Err(Error::new(format!("{} bytes do not fill {dtype} {shape:?}", bytes.len())));
        }
        macro_rules! go {
            ($($v:ident $t:ty),*) => { match dtype {
                DType::Bool => Data::Bool(bytes.iter().map(|b| *b != 0).collect()),
                $(DType::$v => Data::$v(bytes.chunks_exact(size_of::<$t>()).map(|c| {
                    let mut a = [0; size_of::<$t>()];
                    a.copy_from_slice(c);
                    <$t>::from_le_bytes(a)
                }).collect()),)*
            } };
        }
        let data = go!(U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64, F16 f16, BF16 bf16,
                       F32 f32, F64 f64);
        Tensor::from_data(shape, data)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} [", self.dtype(), self.shape)?;
        for i in 0..self.len().min(8) {
            write!(f, "{}{}", if i > 0 { ", " } else { "" }, self.data.get_f64(i))?;
        }
        f.write_str(if self.len() > 8 { ", ..]" } else { "]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_in_every_type() {
        for dtype in DType::ALL {
            let t = Tensor::vector(vec![0.0f64, 1.0, 3.0]).cast(dtype);
            let back = Tensor::from_le_bytes(dtype, [3], &t.to_le_bytes()).unwrap();
            assert!(t.same_bits(&back), "{dtype}");
        }
        assert!(Tensor::from_le_bytes(DType::F32, [usize::MAX, 2], &[0]).is_err());
    }

    #[test]
    fn casts_truncate_and_saturate() {
        let t = Tensor::vector(vec![-1.7f32, 300.0, 0.0]);
        assert_eq!(t.cast(DType::U8).as_slice::<u8>(), Some(&[0, 255, 0][..]));
        assert_eq!(t.cast(DType::Bool).as_slice::<bool>(), Some(&[true, true, false][..]));
    }

    #[test]
    fn rows_join_again() {
        let t = Tensor::from_fn([4, 2], |i| i as i32);
        let parts = [t.slice_rows(0..1).unwrap(), t.slice_rows(1..4).unwrap()];
        assert!(Tensor::concat_rows(&parts).unwrap().same_bits(&t));
        assert!(t.slice_rows(3..5).is_err());
    }
}
