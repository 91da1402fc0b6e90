//! A U-centred Gram matrix as it is kept: what stands above its diagonal.

use super::CentredGram;

impl CentredGram {
    /// What stands above the diagonal, row by row, `rows * (rows - 1) / 2` numbers with a root mean square
    /// of 1.
    pub fn triangle(&self) -> Vec<f32> {
        let n = self.rows;
        // At unit length the squares of both triangles add up to 1.
        let scale = ((n * (n - 1)) as f64).sqrt();
        let row = |i: usize| &self.values[i * n + i + 1..(i + 1) * n];
        (0..n).flat_map(row).map(|x| (x * scale) as f32).collect()
    }

    /// Of what stands above the diagonal of a U-centred Gram matrix of `rows` items, on those of the items
    /// whose numbers are `chosen`, in that order.
    ///
    /// Of some of the items it is the same as if the others had never been read: what centring added to a
    /// cell is a term of its row and one of its column, and centring takes off all such terms.
    ///
    /// `None` with too few items, an item that is not there or is chosen twice, numbers that are not finite
    /// or do not fill the triangle, and where no chosen item differs from another.
    pub fn of_triangle(values: &[f32], rows: usize, chosen: &[usize]) -> Option<Self> {
        let count = rows.checked_mul(rows.checked_sub(1)?)? / 2;
        let mut seen = vec![false; rows];
        for &item in chosen {
            if std::mem::replace(seen.get_mut(item)?, true) {
                return None;
            }
        }
        if values.len() != count {
            return None;
        }
        // Cells before row `i`: its rows are one shorter each.
        let place = |i: usize, j: usize| i * (2 * rows - i - 1) / 2 + j - i - 1;
        let cell = |&i: &usize, &j: &usize| match i.cmp(&j) {
            std::cmp::Ordering::Equal => 0.0,
            std::cmp::Ordering::Less => f64::from(values[place(i, j)]),
            std::cmp::Ordering::Greater => f64::from(values[place(j, i)]),
        };
        let gram = chosen
            .iter()
            .flat_map(|i| chosen.iter().map(move |j| cell(i, j)));
        Self::of_gram(gram.collect(), chosen.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::random;

    const ROWS: usize = 40;

    fn values(seed: u64) -> Vec<f32> {
        let mut rng = random::stream(seed, "triangle test");
        (0..ROWS * 8)
            .map(|_| (random::normal(&mut rng) + 2.0) as f32)
            .collect()
    }

    fn some(values: &[f32], chosen: &[usize]) -> CentredGram {
        let rows = chosen.iter().flat_map(|i| &values[i * 8..(i + 1) * 8]);
        let rows: Vec<f32> = rows.copied().collect();
        CentredGram::new(&rows, chosen.len()).unwrap()
    }

    #[test]
    fn all_of_it_comes_back_and_some_of_it_is_as_if_read_alone() {
        let x = values(1);
        let all: Vec<usize> = (0..ROWS).collect();
        let gram = some(&x, &all);
        let triangle = gram.triangle();
        assert_eq!(triangle.len(), ROWS * (ROWS - 1) / 2);
        let square: f32 = triangle.iter().map(|x| x * x).sum::<f32>() / triangle.len() as f32;
        assert!((square - 1.0).abs() < 1e-5);
        let back = CentredGram::of_triangle(&triangle, ROWS, &all).unwrap();
        assert!((gram.cka(&back).unwrap() - 1.0).abs() < 1e-10);
        let chosen = [31, 4, 17, 5, 39, 0, 22, 8];
        let part = CentredGram::of_triangle(&triangle, ROWS, &chosen).unwrap();
        assert!((some(&x, &chosen).cka(&part).unwrap() - 1.0).abs() < 1e-9);
        // In another order it is another matrix.
        let other = [4, 31, 17, 5, 39, 0, 22, 8];
        assert!(some(&x, &other).cka(&part).unwrap() < 0.99);
    }

    #[test]
    fn what_does_not_fill_it_is_refused() {
        let triangle = some(&values(1), &[0, 1, 2, 3, 4]).triangle();
        let of = |rows, chosen: &[usize]| CentredGram::of_triangle(&triangle, rows, chosen);
        assert!(of(5, &[0, 1, 2, 3]).is_some());
        for (rows, chosen) in [
            (5, &[0, 1, 2][..]),
            (5, &[0, 1, 2, 5]),
            (5, &[0, 1, 2, 2]),
            (6, &[0, 1, 2, 3]),
            (0, &[]),
        ] {
            assert!(of(rows, chosen).is_none(), "{rows} {chosen:?}");
        }
    }
}
