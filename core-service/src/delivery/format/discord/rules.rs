//! What Discord refuses in the body of *execute webhook*, for tests
//! (<https://docs.discord.com/developers/resources/webhook#execute-webhook>,
//! <https://docs.discord.com/developers/resources/message#embed-object-embed-limits>,
//! <https://docs.discord.com/developers/resources/user#usernames-and-nicknames>).
//!
//! Lengths are counted in code points, after trimming. Beside what is documented, it refuses what Discord is
//! known to refuse: blank content, and URLs whose host is no public name.

use serde_json::{Map, Value};

/// Why Discord refuses `body`; `None`: it takes it.
pub(crate) fn refusal(body: &[u8]) -> Option<String> {
    check(body).err()
}

fn check(body: &[u8]) -> Result<(), String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let body = object(&body, "body")?;
    for key in body.keys() {
        if !["content", "username", "avatar_url", "tts", "embeds", "allowed_mentions"].contains(&&**key) {
            return Err(format!("unknown field {key}"));
        }
    }
    let embeds = list(body, "embeds", 10)?;
    let content = length(body, "content", 0, 2_000)?;
    if content == 0 && embeds.is_empty() {
        return Err("Cannot send an empty message".to_owned());
    }
    if body.contains_key("username") {
        length(body, "username", 1, 80)?;
        let name: String =
            body["username"].as_str().into_iter().flat_map(str::chars).filter(is_seen).collect();
        let folded = name.to_lowercase().replace('ſ', "s");
        for word in ["discord", "clyde"] {
            if folded.contains(word) {
                return Err(format!("username: contains {word}"));
            }
        }
    }
    web_url(body, "avatar_url")?;
    let mut sum = 0;
    for embed in embeds {
        sum += check_embed(object(&embed, "embed")?)?;
    }
    if sum > 6_000 {
        return Err(format!("embeds: {sum} characters"));
    }
    body.get("allowed_mentions").map_or(Ok(()), |mentions| check_mentions(object(mentions, "mentions")?))
}

/// Returns how many characters count for the sum of all embeds.
fn check_embed(embed: &Map<String, Value>) -> Result<usize, String> {
    let mut sum = length(embed, "title", 0, 256)? + length(embed, "description", 0, 4_096)?;
    web_url(embed, "url")?;
    for image in ["image", "thumbnail"] {
        if let Some(image) = embed.get(image) {
            web_url(object(image, "image")?, "url")?;
        }
    }
    if let Some(color) = embed.get("color")
        && color.as_u64().is_none_or(|color| color > 0x00ff_ffff)
    {
        return Err("color: no colour".to_owned());
    }
    for field in list(embed, "fields", 25)? {
        let field = object(&field, "field")?;
        sum += length(field, "name", 1, 256)? + length(field, "value", 1, 1_024)?;
    }
    if let Some(footer) = embed.get("footer") {
        sum += length(object(footer, "footer")?, "text", 1, 2_048)?;
    }
    if let Some(author) = embed.get("author") {
        sum += length(object(author, "author")?, "name", 1, 256)?;
    }
    Ok(sum)
}

/// <https://docs.discord.com/developers/resources/message#allowed-mentions-object>
fn check_mentions(mentions: &Map<String, Value>) -> Result<(), String> {
    let parse = list(mentions, "parse", 3)?;
    for (at, kind) in parse.iter().enumerate() {
        if !["everyone", "roles", "users"].contains(&kind.as_str().unwrap_or_default()) {
            return Err(format!("parse: {kind}"));
        }
        if parse[..at].contains(kind) {
            return Err(format!("parse: {kind} twice"));
        }
    }
    for kind in ["users", "roles"] {
        let ids = list(mentions, kind, 100)?;
        let is_snowflake = |id: &Value| id.as_str().is_some_and(|id| id.parse::<u64>().is_ok());
        if !ids.iter().all(is_snowflake) {
            return Err(format!("{kind}: no snowflakes"));
        }
        if !ids.is_empty() && parse.iter().any(|parsed| parsed == kind) {
            return Err(format!("{kind}: also in parse"));
        }
    }
    Ok(())
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what}: no object"))
}

fn list(object: &Map<String, Value>, key: &str, max: usize) -> Result<Vec<Value>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= max => Ok(list.clone()),
        Some(_) => Err(format!("{key}: no list of at most {max}")),
    }
}

/// The length of a text, which must be in this range. None is like an empty one.
fn length(object: &Map<String, Value>, key: &str, min: usize, max: usize) -> Result<usize, String> {
    let text = match object.get(key) {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text.trim_matches(|c: char| c.is_whitespace() || c.is_control()),
        Some(_) => return Err(format!("{key}: no text")),
    };
    match text.chars().count() {
        length if (min..=max).contains(&length) => Ok(length),
        length => Err(format!("{key}: {length} characters, not {min} to {max}")),
    }
}

/// Whether a character of a name stays: "we limit some zero-width and non-rendering characters".
fn is_seen(c: &char) -> bool {
    !c.is_control() && !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn web_url(object: &Map<String, Value>, key: &str) -> Result<(), String> {
    let url = match object.get(key) {
        None | Some(Value::Null) => return Ok(()),
        Some(url) => url.as_str().ok_or_else(|| format!("{key}: no text"))?,
    };
    let refused = || format!("{key}: Not a well formed URL: {url}");
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or_else(refused)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default();
    let is_name = host.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    let fits = url.len() <= 2_048 && url.bytes().all(|byte| byte.is_ascii_graphic());
    if fits && is_name && host.contains('.') { Ok(()) } else { Err(refused()) }
}
