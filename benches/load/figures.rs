//! Medians, and whether an aim is met.

/// NaN if there is no figure.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// Prints whether `figure` is at least `aim`.
pub(crate) fn at_least(name: &str, unit: &str, figure: f64, aim: f64) {
    let result = if figure >= aim { "met" } else { "MISSED" };
    println!("{result:<6} {name}: {figure:.2} {unit}, at least {aim}");
}

/// Prints whether `figure` is at most `aim`.
pub(crate) fn at_most(name: &str, unit: &str, figure: f64, aim: f64) {
    let result = if figure <= aim { "met" } else { "MISSED" };
    println!("{result:<6} {name}: {figure:.2} {unit}, at most {aim}");
}
