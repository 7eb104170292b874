//! What is to be measured, and how large: from the arguments and the environment.

use std::time::Duration;

/// One run of the program.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names of measures; all if empty.
    pub measures: Vec<String>,
    /// Sizes are multiplied by it.
    pub scale: f64,
    /// How often each side runs.
    pub rounds: usize,
    /// The two-minute form for CI: no peers from outside, small sizes.
    pub is_quick: bool,
    /// Writes the ratios of the quick form to the file that CI compares with.
    pub saves: bool,
}

impl Plan {
    /// `bench [--quick] [--save]`; MEASURES="rows lateness", SCALE=0.1, ROUNDS=5.
    ///
    /// # Errors
    /// With a sentence on what is wrong.
    pub fn from_env() -> Result<Plan, String> {
        let mut plan = Plan { measures: Vec::new(), scale: 1.0, rounds: 5, is_quick: false, saves: false };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--quick" => plan.is_quick = true,
                "--save" => plan.saves = true,
                other => return Err(format!("usage: bench [--quick] [--save], not {other}")),
            }
        }
        if plan.is_quick {
            (plan.scale, plan.rounds) = (0.2, 3);
        }
        plan.measures = set("MEASURES").map(words).unwrap_or_default();
        if let Some(text) = set("SCALE") {
            plan.scale = number(&text, "SCALE")?;
        }
        if let Some(text) = set("ROUNDS") {
            plan.rounds = number(&text, "ROUNDS")? as usize;
        }
        if plan.rounds == 0 || plan.scale <= 0.0 {
            return Err("ROUNDS and SCALE are above 0".into());
        }
        Ok(plan)
    }

    /// `size` at this scale, rounded to hundreds.
    pub fn count(&self, size: i64) -> i64 {
        ((size as f64 * self.scale / 100.0).round() as i64 * 100).max(100)
    }

    /// A time at this scale, not below a tenth.
    pub fn span(&self, whole: Duration) -> Duration {
        whole.mul_f64(self.scale.clamp(0.1, 1.0))
    }
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

fn words(text: String) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn number(text: &str, name: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("{name} is a number, not {text:?}"))
}
