//! What numbers that come together say of each other.

use serde::{Deserialize, Serialize};

/// To each variance, standardised, so much is added: numbers that always go together tell no more than one
/// (A. E. Hoerl and R. W. Kennard, "Ridge Regression", Technometrics 12, 1970).
const RIDGE: f64 = 0.001;
/// No number is taken to be further from its mean than so many standard deviations.
const FAR: f64 = 10.0;
/// A model is made of at least so many rows for each number in a row.
const ROWS_PER_NUMBER: f64 = 2.0;
/// It is made anew after so many more rows, at least, and after this share more.
const RENEW: f64 = 24.0;
const RENEW_SHARE: f64 = 1.0 / 16.0;
/// At so many rows all count half: what is so now weighs more than what was.
const FULL: f64 = 4096.0;
/// A number that hardly changes, measured against its size, is constant.
const CONSTANT: f64 = 1e-9;

/// Means and covariances of the numbers in a row, and how each number follows from all others: linear regression of
/// each on the rest, all of which stand in the inverse of the covariances (S. L. Lauritzen, Graphical Models, 1996,
/// section 5.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Relations {
    rows: f64,
    means: Vec<f64>,
    /// Sums of products of deviations, the lower triangle by rows.
    products: Vec<f64>,
    #[serde(skip)]
    model: Option<Model>,
}

/// A model as of a number of rows.
#[derive(Clone, Debug)]
struct Model {
    rows: f64,
    means: Vec<f64>,
    /// Standard deviations; 0 for what is left out.
    deviations: Vec<f64>,
    /// The inverse of the correlations.
    inverse: Vec<f64>,
}

/// How far a number is from what the others say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Residual {
    /// In the unit of the number, less where the others are themselves unlike all that was learnt.
    pub(crate) size: f64,
    /// What the others say that it should be.
    pub(crate) predicted: f64,
}

/// The place of a product in a lower triangle.
const fn place(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

impl Relations {
    /// For rows of so many numbers.
    pub(crate) fn new(numbers: usize) -> Self {
        Self { rows: 0.0, means: vec![0.0; numbers], products: vec![0.0; place(numbers, 0)], model: None }
    }

    /// Takes a row (B. P. Welford, Technometrics 4, 1962). `is_left_out` says which numbers say nothing.
    pub(crate) fn learn(&mut self, row: &[f64], is_left_out: impl Fn(usize) -> bool) {
        if self.rows >= FULL {
            self.fade();
        }
        self.rows += 1.0;
        let changes: Vec<f64> = row.iter().zip(&self.means).map(|(number, mean)| number - mean).collect();
        let share = (self.rows - 1.0) / self.rows;
        for (mean, change) in self.means.iter_mut().zip(&changes) {
            *mean += change / self.rows;
        }
        let mut products = self.products.iter_mut();
        for (number, one) in changes.iter().enumerate() {
            for (other, product) in changes[..=number].iter().zip(&mut products) {
                *product += share * one * other;
            }
        }
        let known = self.model.as_ref().map_or(0.0, |model| model.rows);
        let is_due = (self.rows - known).abs() >= RENEW.max(known * RENEW_SHARE);
        if is_due && self.rows >= ROWS_PER_NUMBER * row.len() as f64 {
            self.fit(is_left_out);
        }
    }

    /// What was learnt so far weighs half as much from now on.
    pub(crate) fn fade(&mut self) {
        self.rows /= 2.0;
        self.products.iter_mut().for_each(|product| *product /= 2.0);
    }

    fn fit(&mut self, is_left_out: impl Fn(usize) -> bool) {
        let numbers = self.means.len();
        let deviations: Vec<f64> = (0..numbers)
            .map(|number| {
                let deviation = (self.products[place(number, number)] / self.rows).max(0.0).sqrt();
                let is_constant = deviation <= CONSTANT * self.means[number].abs().max(CONSTANT);
                if is_constant || is_left_out(number) { 0.0 } else { deviation }
            })
            .collect();
        let mut correlations = vec![0.0; self.products.len()];
        for row in 0..numbers {
            for column in 0..=row {
                let scale = deviations[row] * deviations[column] * self.rows;
                if scale > 0.0 {
                    correlations[place(row, column)] = self.products[place(row, column)] / scale;
                }
            }
            correlations[place(row, row)] += RIDGE;
        }
        self.model = inverse(correlations, numbers).map(|inverse| Model {
            rows: self.rows,
            means: self.means.clone(),
            deviations,
            inverse,
        });
    }

    /// How far each of the first `numbers` of a row is from what the others say; nothing of those that are left out or
    /// constant, and nothing of all before there is a model.
    pub(crate) fn residuals(&self, row: &[f64], numbers: usize) -> Vec<Option<Residual>> {
        let Some(model) = &self.model else { return vec![None; numbers] };
        let standard: Vec<f64> = (0..row.len())
            .map(|number| match model.deviations[number] {
                0.0 => 0.0,
                deviation => ((row[number] - model.means[number]) / deviation).clamp(-FAR, FAR),
            })
            .collect();
        let weights: Vec<f64> = (0..row.len())
            .map(|number| {
                let of_row = &model.inverse[number * row.len()..(number + 1) * row.len()];
                of_row.iter().zip(&standard).map(|(weight, number)| weight * number).sum()
            })
            .collect();
        // Hotelling's T², of which each number has its part (Annals of Mathematical Statistics 2, 1931).
        let distance: f64 = weights.iter().zip(&standard).map(|(weight, number)| weight * number).sum();
        (0..numbers)
            .map(|number| {
                let deviation = model.deviations[number];
                if deviation <= 0.0 {
                    return None;
                }
                let precision = model.inverse[number * row.len() + number];
                let residual = weights[number] / precision;
                // The error of a prediction grows with the distance of what it is made from.
                let leverage = (distance - residual * weights[number]).max(0.0) / model.rows;
                let predicted = model.means[number] + deviation * (standard[number] - residual);
                Some(Residual { size: deviation * residual.abs() / (1.0 + leverage).sqrt(), predicted })
            })
            .collect()
    }

    /// Whether what was read back can be.
    pub(crate) fn is_sane(&self, numbers: usize) -> bool {
        self.means.len() == numbers
            && self.products.len() == place(numbers, 0)
            && self.rows >= 0.0
            && self.means.iter().chain(&self.products).chain([&self.rows]).all(|number| number.is_finite())
    }
}

/// The inverse of a positive definite matrix, given as its lower triangle, by Cholesky's decomposition; all of it, by
/// rows. Nothing if it is not positive definite.
fn inverse(mut lower: Vec<f64>, size: usize) -> Option<Vec<f64>> {
    for row in 0..size {
        for column in 0..=row {
            let dot: f64 =
                (0..column).map(|inner| lower[place(row, inner)] * lower[place(column, inner)]).sum();
            let left = lower[place(row, column)] - dot;
            lower[place(row, column)] = if row == column {
                Some(left.sqrt()).filter(|root| *root > 0.0)?
            } else {
                left / lower[place(column, column)]
            };
        }
    }
    // The inverse of the triangle takes its place, row by row: those before are inverted already.
    for row in 0..size {
        let diagonal = lower[place(row, row)];
        for column in 0..row {
            let dot: f64 =
                (column..row).map(|inner| lower[place(row, inner)] * lower[place(inner, column)]).sum();
            lower[place(row, column)] = -dot / diagonal;
        }
        lower[place(row, row)] = 1.0 / diagonal;
    }
    let mut inverse = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..=row {
            let dot: f64 =
                (row..size).map(|inner| lower[place(inner, row)] * lower[place(inner, column)]).sum();
            (inverse[row * size + column], inverse[column * size + row]) = (dot, dot);
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_matrix_times_its_inverse_is_one(seed in any::<u64>(), size in 1_usize..8) {
            let mut state = seed | 1;
            let mut random = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as f64 / (1_u64 << 53) as f64
            };
            let factors: Vec<Vec<f64>> = (0..size).map(|_| (0..size).map(|_| random()).collect()).collect();
            let mut lower = vec![0.0; place(size, 0)];
            for row in 0..size {
                for column in 0..=row {
                    lower[place(row, column)] =
                        (0..size).map(|inner| factors[row][inner] * factors[column][inner]).sum();
                }
                lower[place(row, row)] += 0.1;
            }
            let inverse = inverse(lower.clone(), size).unwrap();
            for row in 0..size {
                for column in 0..size {
                    let product: f64 = (0..size)
                        .map(|inner| lower[place(row.max(inner), row.min(inner))] * inverse[inner * size + column])
                        .sum();
                    prop_assert!((product - f64::from(u8::from(row == column))).abs() < 1e-6);
                }
            }
        }
    }

    /// A sum of two numbers, a constant, and one that goes its own way.
    fn row(step: u32) -> [f64; 5] {
        let noise = |salt: u32| f64::from((step * 7 + salt).wrapping_mul(2_654_435_761) >> 16 & 0xff) / 256.0;
        let (one, other) = (10.0 * noise(1), 5.0 * noise(2));
        [one, other, one + other + 0.1 * noise(3), 7.0, noise(4)]
    }

    #[test]
    fn what_follows_from_others_is_predicted_and_what_does_not_is_not() {
        let mut relations = Relations::new(5);
        assert_eq!(relations.residuals(&row(0), 5), [None; 5]);
        (0..400).for_each(|step| relations.learn(&row(step), |number| number == 4));
        let mut wrong = row(500);
        let usual = relations.residuals(&wrong, 5);
        assert!(usual[2].unwrap().size < 1.0 && (usual[2].unwrap().predicted - wrong[2]).abs() < 1.0);
        assert_eq!((usual[3], usual[4]), (None, None));
        wrong[2] += 5.0;
        assert!(relations.residuals(&wrong, 5)[2].unwrap().size > 3.0);
        assert!(relations.is_sane(5) && !relations.is_sane(4));
    }

    #[test]
    fn where_the_others_are_unlike_all_before_less_is_said() {
        let mut relations = Relations::new(5);
        (0..64).for_each(|step| relations.learn(&row(step), |_| false));
        let mut near = row(70);
        near[2] += 5.0;
        let mut far = near;
        far[4] = 50.0;
        let size = |row: &[f64; 5]| relations.residuals(row, 5)[2].unwrap().size;
        assert!(size(&far) < 0.8 * size(&near), "{} {}", size(&far), size(&near));
    }

    #[test]
    fn what_was_long_ago_weighs_less() {
        let mut relations = Relations::new(5);
        (0..20_000).for_each(|step| relations.learn(&row(step), |_| false));
        assert!(relations.rows <= FULL);
        assert!((relations.means[0] - 5.0).abs() < 0.5);
    }
}
