//! Pages of the documentation as tests: their SQL is run, and what they say comes out must come out.

use std::fs;
use std::path::Path;

use crate::lifecycle::Cluster;

/// A block of SQL, the line on which it stands, and the output that stands below it, if any does.
struct Example {
    line: usize,
    sql: String,
    output: Option<String>,
}

impl Cluster {
    /// Runs the blocks of SQL of a page, `docs/NAME` of the project, one after the other in one `psql` of that role. Of
    /// each with a block of text below it the last statement's output must be that text.
    ///
    /// # Panics
    /// When a statement fails, or says something else.
    pub fn follow_page(&self, name: &str, role: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let examples = examples(&page);
        assert!(!examples.is_empty(), "{name} has no example");
        let script = self.socket_dir().join("page.sql");
        fs::write(&script, as_script(&examples)).unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        let mut psql = self.tree().command("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-P", "footer=off", "-P", "pager=off", "-d", "postgres"]);
        psql.arg("-h").arg(self.socket_dir()).arg("-p").arg(self.port().to_string()).arg("-U").arg(role);
        let output = psql.arg("-f").arg(&script).output().unwrap_or_else(|error| panic!("psql: {error}"));
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {errors}");
        let mut wrong = Vec::new();
        for (example, said) in examples.iter().zip(said.split(MARK)) {
            let wanted = example.output.as_deref().map(trimmed);
            // What stands before the last table is the names of tasks and calendars made on the way.
            let last = trimmed(said.trim_end().rsplit("\n\n").next().unwrap_or_default());
            if wanted.is_some_and(|wanted| wanted != last) {
                wrong.push(format!("{name}, line {}:\n{}\nsays\n{last}", example.line, example.sql.trim_end()));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}

const MARK: &str = "-- end of example --\n";

fn as_script(examples: &[Example]) -> String {
    examples.iter().map(|example| format!("{}\\echo '{}'\n", example.sql, MARK.trim_end())).collect()
}

/// Lines without what stands to their right.
fn trimmed(text: &str) -> String {
    text.trim_matches('\n').lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn examples(page: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: String = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .map(|line| format!("{line}\n"))
            .collect();
        match (language, found.last_mut()) {
            ("sql", _) => found.push(Example { line: number + 2, sql: block, output: None }),
            ("text", Some(last)) if last.output.is_none() => last.output = Some(block),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::examples;

    #[test]
    fn blocks_of_text_belong_to_the_sql_above() {
        let page = "a\n```sql\nselect 1;\n```\n```\nno example\n```\n```sql\nselect 2;\n```\n```text\n2\n```\n";
        let found: Vec<_> = examples(page).into_iter().map(|one| (one.line, one.sql, one.output)).collect();
        let wanted = [(3, "select 1;\n".to_owned(), None), (9, "select 2;\n".to_owned(), Some("2\n".to_owned()))];
        assert_eq!(found, wanted);
    }
}
