//! Countries and subdivisions by their codes.

use crate::data;
use crate::suggest::closest;

/// A country with its subdivisions, to list them.
#[derive(Clone, Debug)]
pub struct Country {
    /// ISO 3166-1 alpha-2, `DE`.
    pub code: &'static str,
    /// ISO 3166-1 alpha-3, `DEU`.
    pub code3: &'static str,
    /// In English.
    pub name: &'static str,
    /// ISO weekdays off, 1 Monday to 7 Sunday.
    pub weekend: Vec<i32>,
    /// The last year of which its days are known.
    pub known_until: i32,
    /// In order of their codes.
    pub subdivisions: Vec<Subdivision>,
    block: &'static str,
}

/// A part of a country with holidays of its own.
#[derive(Clone, Debug)]
pub struct Subdivision {
    /// Mostly ISO 3166-2 without the country, `BY`.
    pub code: &'static str,
    /// Other names, `Bayern`; often none.
    pub names: Vec<&'static str>,
    /// ISO weekdays off.
    pub weekend: Vec<i32>,
    /// The last year of which its days are known.
    pub known_until: i32,
    block: &'static str,
}

/// Where holidays are asked for.
#[derive(Clone, Debug)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// The subdivision's code.
    pub subdivision: Option<&'static str>,
    /// ISO weekdays off, as they are now.
    pub weekend: Vec<i32>,
    /// The last year of which its days are known.
    pub known_until: i32,
    pub(crate) country_block: &'static str,
    pub(crate) subdivision_block: Option<&'static str>,
}

/// Why there is no such place, with those that may have been meant, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No such country; (code, name) of similar ones.
    Country(Vec<(String, String)>),
    /// The country has no such subdivision; (code, name) of similar ones.
    Subdivision(Vec<(String, String)>),
    /// The country has no subdivisions at all.
    Undivided,
}

/// All countries in order of their codes.
pub fn countries() -> Vec<Country> {
    data::country_blocks().map(|(head, block)| country(head, block)).collect()
}

/// Finds a place by the codes of country and subdivision, in upper or lower case; the subdivision also as `DE-BY`.
pub fn find(country_code: &str, subdivision: Option<&str>) -> Result<Place, Unknown> {
    let wanted = country_code.trim();
    let Some(country) = data::country_blocks()
        .find(|(head, _)| head.split('\t').next().is_some_and(|code| code.eq_ignore_ascii_case(wanted)))
        .map(|(head, block)| country(head, block))
    else {
        let all = countries();
        let known = all.iter().flat_map(|c| [c.code, c.code3, c.name].map(|word| (word, c.code, c.name)));
        return Err(Unknown::Country(closest(wanted, known)));
    };
    let mut place = Place {
        country: country.code,
        subdivision: None,
        weekend: country.weekend,
        known_until: country.known_until,
        country_block: country.block,
        subdivision_block: None,
    };
    if let Some(asked) = subdivision {
        let part = part(&country.subdivisions, country.code, asked.trim())?;
        place.subdivision = Some(part.code);
        place.weekend = part.weekend.clone();
        place.known_until = part.known_until;
        place.subdivision_block = Some(part.block);
    }
    Ok(place)
}

fn part<'a>(parts: &'a [Subdivision], country: &str, asked: &str) -> Result<&'a Subdivision, Unknown> {
    if parts.is_empty() {
        return Err(Unknown::Undivided);
    }
    let prefix = asked.get(..country.len()).filter(|start| start.eq_ignore_ascii_case(country));
    let short = prefix.and_then(|start| asked[start.len()..].strip_prefix('-')).unwrap_or(asked);
    parts.iter().find(|part| part.code.eq_ignore_ascii_case(short)).ok_or_else(|| {
        let known = parts.iter().flat_map(|part| {
            let name = part.names.first().copied().unwrap_or(part.code);
            std::iter::once(part.code).chain(part.names.iter().copied()).map(move |word| (word, part.code, name))
        });
        Unknown::Subdivision(closest(asked, known))
    })
}

fn country(head: &'static str, block: &'static str) -> Country {
    let mut fields = head.split('\t');
    let mut next = || fields.next().unwrap_or_default();
    let (code, code3, name, until, off) = (next(), next(), next(), next(), next());
    // The country's own lines come before its first subdivision.
    let own = if block.starts_with("D\t") { 0 } else { block.find("\nD\t").map_or(block.len(), |at| at + 1) };
    Country {
        code,
        code3,
        name,
        weekend: weekend(off),
        known_until: year(until),
        subdivisions: data::blocks(&block[own..], "D\t").map(|(head, block)| subdivision(head, block)).collect(),
        block: &block[..own],
    }
}

fn subdivision(head: &'static str, block: &'static str) -> Subdivision {
    let mut fields = head.split('\t');
    let mut next = || fields.next().unwrap_or_default();
    let (code, until, off) = (next(), next(), next());
    Subdivision { code, names: fields.collect(), weekend: weekend(off), known_until: year(until), block }
}

fn weekend(digits: &str) -> Vec<i32> {
    digits.chars().filter_map(|digit| digit.to_digit(10)).map(|digit| digit as i32).collect()
}

fn year(text: &str) -> i32 {
    text.parse().unwrap_or(i32::MIN)
}
