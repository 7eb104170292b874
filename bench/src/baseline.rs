//! The committed ratios of the quick form, and what CI says of new ones: a fall by 30 % fails, a time never does.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::report::{Goal, Line, short};

/// A ratio may fall to this share of the committed one.
const KEPT: f64 = 0.7;

/// The ratios of these lines, as they are committed.
pub fn of(lines: &[Line]) -> Value {
    let ratios = lines.iter().filter(|line| line.is_judged());
    let ratios: Map<String, Value> =
        ratios.map(|line| (line.id.to_owned(), json!((line.value * 1000.0).round() / 1000.0))).collect();
    Value::Object(ratios)
}

/// The committed ones.
///
/// # Errors
/// With a sentence, when the file cannot be read.
pub fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Leaves only the committed ratios that these lines have: for a run of some measures.
pub fn keep(committed: &mut Value, lines: &[Line]) {
    if let Some(ratios) = committed.as_object_mut() {
        ratios.retain(|id, _| lines.iter().any(|line| line.id == id));
    }
}

/// A sentence for each ratio that fell too far, or that is committed and was not measured.
pub fn fallen(committed: &Value, lines: &[Line]) -> Vec<String> {
    let ids = committed.as_object().into_iter().flat_map(Map::keys);
    let missing = ids.filter(|id| lines.iter().all(|line| line.id != id.as_str()));
    let missing: Vec<String> = missing.map(|id| format!("{id} is committed and was not measured")).collect();
    [missing, fallen_of(committed, lines)].concat()
}

/// A sentence for each of these ratios that fell too far.
pub fn fallen_of(committed: &Value, lines: &[Line]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| {
            let was = committed.get(line.id)?.as_f64()?;
            let fell = match line.goal {
                Goal::AtMost { .. } => line.value > was / KEPT,
                _ => line.value < was * KEPT,
            };
            fell.then(|| format!("{} is {}×, {}× is committed ({})", line.id, short(line.value), short(was), line.what))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{fallen, of};
    use crate::report::Line;
    use serde_json::json;

    fn lines(rate: f64, growth: f64) -> Vec<Line> {
        vec![
            Line::ratio("rate", "", rate, 1.0, 2.0),
            Line::at_most("growth", "", growth, "×", 1.5, 1.1),
            Line::at_most("lateness", "", 5.0, "ms", 2.0, 1.0),
        ]
    }

    #[test]
    fn only_ratios_are_committed() {
        assert_eq!(of(&lines(1.0, 1.2)), json!({"rate": 1.0, "growth": 1.2}));
    }

    #[test]
    fn a_fall_by_thirty_per_cent_is_told_in_both_directions() {
        let committed = json!({"rate": 1.0, "growth": 1.0});
        assert_eq!(fallen(&committed, &lines(0.71, 1.42)).len(), 0);
        assert_eq!(fallen(&committed, &lines(0.69, 1.42)).len(), 1);
        assert_eq!(fallen(&committed, &lines(0.71, 1.44)).len(), 1);
        assert_eq!(fallen(&json!({"gone": 1.0}), &lines(1.0, 1.0)).len(), 1);
    }
}
