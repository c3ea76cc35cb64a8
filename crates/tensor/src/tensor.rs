//! Dense host arrays in row-major order.

use crate::memory::{self, Held};
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

            /// [`Data::zeros`] where there may be no memory for them.
            ///
            /// # Errors
            /// When there is none.
            pub fn try_zeros(dtype: DType, n: usize) -> Result<Data> {
                Ok(match dtype {
                    $(DType::$variant => Data::$variant(memory::filled(n, <$type>::default())?),)*
                })
            }

            /// A copy.
            ///
            /// # Errors
            /// When there is no memory for it.
            pub fn copied(&self) -> Result<Data> {
                Ok(match self { $(Data::$variant(v) => Data::$variant(memory::copied(v)?),)* })
            }

            /// Bytes of all elements.
            pub fn bytes(&self) -> usize {
                self.len() * self.dtype().size_bytes()
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
                    other => other.convert(Vec::new(), $from),
                }),)* }
            }

            /// [`Data::cast`] where there may be no memory for the result.
            ///
            /// # Errors
            /// When there is none.
            pub fn try_cast(&self, dtype: DType) -> Result<Data> {
                Ok(match dtype { $(DType::$variant => Data::$variant(match self {
                    Data::$variant(same) => memory::copied(same)?,
                    other => other.convert(memory::room(self.len())?, $from),
                }),)* })
            }

            fn convert<T>(&self, mut out: Vec<T>, from: impl Fn(f64) -> T) -> Vec<T> {
                match self { $(Data::$variant(v) => out.extend(v.iter().map(|x| from(($to)(*x)))),)* }
                out
            }

            fn rows(&self, rows: &[usize], width: usize) -> Result<Data> {
                Ok(match self { $(Data::$variant(v) => {
                    let mut out = memory::room(rows.len().saturating_mul(width))?;
                    for r in rows { out.extend_from_slice(&v[r * width..(r + 1) * width]); }
                    Data::$variant(out)
                })* })
            }

            /// All of `parts`, which are of this type, one after the other.
            fn joined<'a>(&self, parts: impl Iterator<Item = &'a Data> + Clone) -> Result<Data> {
                let n = parts.clone().fold(0usize, |n, p| n.saturating_add(p.len()));
                Ok(match self { $(Data::$variant(_) => {
                    let mut out: Vec<$type> = memory::room(n)?;
                    parts.filter_map(<$type>::peek).for_each(|p| out.extend_from_slice(p));
                    Data::$variant(out)
                })* })
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
    stored: Arc<Stored>,
}

/// Elements, counted as long as they live.
struct Stored {
    data: Data,
    /// Given back when the elements go.
    _held: Held,
}

impl Stored {
    fn new(data: Data) -> Stored {
        Stored { _held: Held::given(data.bytes()), data }
    }
}

impl Clone for Stored {
    fn clone(&self) -> Stored {
        Stored::new(self.data.clone())
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Stored) -> bool {
        self.data == other.data
    }
}

impl Tensor {
    fn made(shape: Vec<usize>, data: Data) -> Tensor {
        Tensor { shape, stored: Arc::new(Stored::new(data)) }
    }

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
        match memory::elements(&shape) {
            Ok(n) if n == data.len() => Ok(Tensor::made(shape, data)),
            _ => Err(Error::new(format!("{} elements do not fill the shape {shape:?}", data.len()))
                .fix("give as many elements as the product of the sizes")),
        }
    }

    /// A one-dimensional tensor.
    pub fn vector<T: Element>(elements: Vec<T>) -> Tensor {
        Tensor::made(vec![elements.len()], T::wrap(elements))
    }

    /// A tensor without axes.
    pub fn scalar<T: Element>(x: T) -> Tensor {
        Tensor::made(vec![], T::wrap(vec![x]))
    }

    /// All zeros (false).
    ///
    /// This, [`Tensor::full`] and [`Tensor::from_fn`] are for sizes that the program knows: like a vector, they end it
    /// where there is no memory. Sizes of files and users belong to the forms that begin with `try`.
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Tensor {
        let shape = shape.into();
        let data = Data::zeros(dtype, known(&shape));
        Tensor::made(shape, data)
    }

    /// Every element `value`.
    pub fn full<T: Element>(shape: impl Into<Vec<usize>>, value: T) -> Tensor {
        let shape = shape.into();
        let elements = vec![value; known(&shape)];
        Tensor::made(shape, T::wrap(elements))
    }

    /// Element `i` is `f(i)`, in row-major order.
    pub fn from_fn<T: Element>(shape: impl Into<Vec<usize>>, f: impl FnMut(usize) -> T) -> Tensor {
        let shape = shape.into();
        let mut elements = Vec::with_capacity(known(&shape));
        elements.extend((0..known(&shape)).map(f));
        Tensor::made(shape, T::wrap(elements))
    }

    /// [`Tensor::zeros`] where there may be no memory for them.
    ///
    /// # Errors
    /// When there is none, or the limit does not allow it.
    pub fn try_zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        let shape = shape.into();
        let data = Data::try_zeros(dtype, memory::elements(&shape)?)?;
        Ok(Tensor::made(shape, data))
    }

    /// [`Tensor::full`] where there may be no memory for it.
    ///
    /// # Errors
    /// When there is none, or the limit does not allow it.
    pub fn try_full<T: Element>(shape: impl Into<Vec<usize>>, value: T) -> Result<Tensor> {
        let shape = shape.into();
        let elements = memory::filled(memory::elements(&shape)?, value)?;
        Ok(Tensor::made(shape, T::wrap(elements)))
    }

    /// [`Tensor::from_fn`] where there may be no memory for it.
    ///
    /// # Errors
    /// When there is none, or the limit does not allow it.
    pub fn try_from_fn<T: Element>(
        shape: impl Into<Vec<usize>>,
        f: impl FnMut(usize) -> T,
    ) -> Result<Tensor> {
        let shape = shape.into();
        let n = memory::elements(&shape)?;
        let mut elements = memory::room(n)?;
        elements.extend((0..n).map(f));
        Ok(Tensor::made(shape, T::wrap(elements)))
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
        self.stored.data.dtype()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.stored.data.len()
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.stored.data.is_empty()
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.stored.data
    }

    /// The elements, copied first when another tensor shares them.
    pub fn data_mut(&mut self) -> &mut Data {
        &mut Arc::make_mut(&mut self.stored).data
    }

    /// Copies the elements when another tensor shares them, so that writing to them needs no memory afterwards.
    ///
    /// # Errors
    /// When there is no memory for the copy.
    pub fn unshare(&mut self) -> Result<()> {
        // Nothing holds a weak handle, and what is counted once here cannot be cloned elsewhere meanwhile.
        if Arc::strong_count(&self.stored) > 1 {
            self.stored = Arc::new(Stored::new(self.stored.data.copied()?));
        }
        Ok(())
    }

    /// The elements when they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::peek(&self.stored.data)
    }

    /// The elements when they are of type `T`, copied first when another tensor shares them.
    pub fn as_slice_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        T::peek_mut(self.data_mut())
    }

    /// The elements as `T`, converted when they are of another type.
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        match self.as_slice::<T>() {
            Some(v) => v.to_vec(),
            None => T::peek(&self.stored.data.cast(T::DTYPE)).map(<[T]>::to_vec).unwrap_or_default(),
        }
    }

    /// The same values in another type.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype() {
            return self.clone();
        }
        Tensor::made(self.shape.clone(), self.data().cast(dtype))
    }

    /// [`Tensor::cast`] where there may be no memory for the result: data of files and users.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        Ok(Tensor::made(self.shape.clone(), self.data().try_cast(dtype)?))
    }

    /// The same elements under other sizes.
    ///
    /// # Errors
    /// When the products of the sizes differ.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        let shape = shape.into();
        if memory::elements(&shape).is_ok_and(|n| n == self.len()) {
            return Ok(Tensor { shape, stored: self.stored.clone() });
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
        let data = self.data().rows(rows, width)?;
        Ok(Tensor::made(shape, data))
    }

    /// The entries `range` along the first axis.
    ///
    /// # Errors
    /// Without axes, or when the range is out of bounds.
    pub fn slice_rows(&self, range: std::ops::Range<usize>) -> Result<Tensor> {
        let n = self.shape.first().copied().unwrap_or(0);
        if range.end > n {
            return Err(Error::new(format!("rows {range:?} are out of range for {n} rows")));
        }
        self.rows(&range.collect::<Vec<_>>())
    }

    /// Joins along the first axis.
    ///
    /// # Errors
    /// Without parts, or when their types or other sizes differ.
    pub fn concat_rows(parts: &[Tensor]) -> Result<Tensor> {
        let first = parts.first().ok_or_else(|| Error::new("nothing to join"))?;
        let mut shape = first.shape.clone();
        for p in &parts[1..] {
            if p.shape.get(1..) != first.shape.get(1..) || p.rank() == 0 || p.dtype() != first.dtype() {
                return Err(Error::new(format!(
                    "cannot join {} {:?} and {} {:?}",
                    first.dtype(),
                    first.shape,
                    p.dtype(),
                    p.shape
                )));
            }
            shape[0] = shape[0].saturating_add(p.shape[0]);
        }
        Tensor::from_data(shape, first.data().joined(parts.iter().map(Tensor::data))?)
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
            ($($v:ident)*) => { match &self.stored.data {
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
        if !memory::bytes(dtype, &shape).is_ok_and(|wanted| wanted == bytes.len()) {
            return Err(Error::new(format!("{} bytes do not fill {dtype} {shape:?}", bytes.len())));
        }
        macro_rules! go {
            ($($v:ident $t:ty),*) => { match dtype {
                DType::Bool => Data::Bool(gathered(bytes.iter().map(|b| *b != 0))?),
                $(DType::$v => Data::$v(gathered(bytes.chunks_exact(size_of::<$t>()).map(|c| {
                    let mut a = [0; size_of::<$t>()];
                    a.copy_from_slice(c);
                    <$t>::from_le_bytes(a)
                }))?),)*
            } };
        }
        let data = go!(U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64, F16 f16, BF16 bf16,
                       F32 f32, F64 f64);
        Tensor::from_data(shape, data)
    }
}

/// Number of elements of sizes that the program knows; more than any vector has where the product is too large.
fn known(shape: &[usize]) -> usize {
    memory::elements(shape).unwrap_or(usize::MAX)
}

/// The elements of an iterator that knows its length.
fn gathered<T>(elements: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>> {
    let mut out = memory::room(elements.len())?;
    out.extend(elements);
    Ok(out)
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} [", self.dtype(), self.shape)?;
        for i in 0..self.len().min(8) {
            write!(f, "{}{}", if i > 0 { ", " } else { "" }, self.stored.data.get_f64(i))?;
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
    fn sizes_that_wrap_around_are_an_error() {
        // 2^64 elements: 0 when the product wraps around, 4 more in the second.
        for shape in [[1usize << 32, 1 << 32], [(1 << 62) + 1, 4], [usize::MAX, usize::MAX]] {
            assert!(Tensor::try_zeros(DType::F32, shape).is_err(), "{shape:?}");
            assert!(Tensor::try_full(shape, 1i8).is_err(), "{shape:?}");
            assert!(Tensor::try_from_fn(shape, |_| 1i8).is_err(), "{shape:?}");
            assert!(Tensor::new(shape, vec![1.0f32; 4]).is_err(), "{shape:?}");
            assert!(Tensor::vector(vec![0u8; 4]).reshape(shape).is_err(), "{shape:?}");
            assert!(Tensor::vector(Vec::<u8>::new()).reshape(shape).is_err(), "{shape:?}");
        }
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
