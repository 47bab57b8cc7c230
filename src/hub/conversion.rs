//! Weights that the hub's bot has converted to safetensors, in a pull request that the
//! repository's owner has not taken up.

use serde::Deserialize;

use super::ModelLocation;

/// Account of Hugging Face's converter. Pull requests of others are not looked at.
const BOT: &str = "SFconvertbot";

#[derive(Deserialize)]
struct Discussions {
    discussions: Vec<Discussion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discussion {
    num: u64,
    status: String,
    is_pull_request: bool,
    /// Deleted accounts have none.
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Author {
    #[serde(default)]
    name: String,
}

/// The model at a location if that is a main branch, which has pull requests.
pub(super) fn main_branch(location: &ModelLocation) -> Option<&str> {
    match location {
        ModelLocation::Hub { id, revision } if revision == "main" => Some(id),
        _ => None,
    }
}

/// URL of a model's open pull requests of the bot.
pub(super) fn url(hub: &str, id: &str) -> String {
    let hub = hub.trim_end_matches('/');
    format!("{hub}/api/models/{id}/discussions?type=pull_request&status=open&author={BOT}")
}

/// Number of the bot's newest open pull request, in the hub's answer.
pub(super) fn pull_request(answer: &[u8]) -> Option<u64> {
    let Discussions { discussions } = serde_json::from_slice(answer).ok()?;
    let by_the_bot = |discussion: &&Discussion| {
        let author = discussion.author.as_ref().map(|author| &*author.name);
        discussion.is_pull_request && discussion.status == "open" && author == Some(BOT)
    };
    let found = discussions.iter().filter(by_the_bot);
    found.map(|discussion| discussion.num).max()
}

/// Location of a pull request's files.
pub(super) fn location(id: &str, pull_request: u64) -> ModelLocation {
    ModelLocation::Hub {
        id: id.into(),
        revision: format!("refs/pr/{pull_request}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bots_open_pull_requests_count() {
        let discussion = |num: u64, author: &str, status: &str, pull_request: bool| {
            serde_json::json!({
                "num": num, "author": { "name": author }, "status": status,
                "isPullRequest": pull_request, "title": "Adding `safetensors` variant of this model",
            })
        };
        let of = |discussions: Vec<serde_json::Value>| {
            let answer = serde_json::json!({ "discussions": discussions, "count": 1 });
            pull_request(answer.to_string().as_bytes())
        };
        let bot = |num| discussion(num, BOT, "open", true);
        assert_eq!(of(vec![bot(3)]), Some(3));
        assert_eq!(of(vec![bot(3), bot(15), bot(4)]), Some(15));
        let mut deleted = bot(20);
        deleted["author"] = serde_json::Value::Null;
        let others = vec![
            discussion(16, "somebody", "open", true),
            discussion(17, BOT, "closed", true),
            discussion(18, BOT, "open", false),
            deleted,
        ];
        assert_eq!(of(others), None);
        assert_eq!(of(vec![]), None);
        assert_eq!(pull_request(b"<!DOCTYPE html>"), None);
    }

    #[test]
    fn pull_requests_are_those_of_a_main_branch() {
        let parse = |text| ModelLocation::parse(text).unwrap();
        assert_eq!(main_branch(&parse("a/b")), Some("a/b"));
        assert_eq!(main_branch(&parse("a/b@refs/pr/1")), None);
        assert_eq!(main_branch(&parse("https://example.org/b/")), None);
        assert_eq!(location("a/b", 7), parse("a/b@refs/pr/7"));
        assert!(
            url("https://example.org/", "a/b").starts_with("https://example.org/api/models/a/b/")
        );
    }
}
