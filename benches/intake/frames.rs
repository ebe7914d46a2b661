//! What happens on the network: records of the sizes and in the shares that were recorded.

use fakes::jetstream::Item;
use fakes::network::{cid, tid};

/// Of 100 events nobody wants, these are likes, posts, follows and reposts; the others delete a like.
const LIKES: usize = 69;
const POSTS: usize = 11;
const FOLLOWS: usize = 4;
const REPOSTS: usize = 8;
/// What a webhook is told at most of, and what a record's scope names.
pub(crate) const CHAT: &str = "place.stream.chat.message";
pub(crate) const THING: &str = "app.example.thing";

/// The events of a run, each with its own record key.
#[derive(Debug)]
pub(crate) struct Frames {
    streamers: usize,
    scopes: usize,
    /// In per cent.
    wanted: usize,
    number: usize,
}

impl Frames {
    pub(crate) fn new(streamers: usize, scopes: usize, wanted: usize) -> Self {
        Self { streamers, scopes, wanted, number: 0 }
    }

    /// The next so many events, and how many of them somebody wants.
    pub(crate) fn next(&mut self, count: usize) -> (Vec<Item>, usize) {
        let from = self.number;
        self.number += count;
        let all = from..self.number;
        let wanted = all.clone().filter(|number| self.is_wanted(*number)).count();
        (all.map(|number| self.item(number)).collect(), wanted)
    }

    /// Spread, so that wanted ones stand between others.
    fn is_wanted(&self, number: usize) -> bool {
        number * 37 % 100 < self.wanted
    }

    fn item(&self, number: usize) -> Item {
        let rkey = key(number);
        if self.is_wanted(number) {
            return if number.is_multiple_of(2) {
                chat(&streamer(number / 2 % self.streamers), &rkey)
            } else {
                Item::create(&scope(number / 2 % self.scopes), THING, &rkey, &thing())
            };
        }
        let author = someone(number);
        let subject = format!("at://{}/app.bsky.feed.post/{}", someone(number + 1), key(number / 2));
        let about = |of: &str| {
            let cid = cid(&subject);
            format!(
                r#"{{"$type":"{of}","createdAt":"2026-11-29T12:00:00.000Z","subject":{{"cid":"{cid}","uri":"{subject}"}}}}"#
            )
        };
        let place = number * 53 % 100;
        if place < LIKES {
            return Item::create(&author, "app.bsky.feed.like", &rkey, &about("app.bsky.feed.like"));
        }
        if place < LIKES + POSTS {
            return Item::create(&author, "app.bsky.feed.post", &rkey, &post(&someone(number + 2), &subject));
        }
        if place < LIKES + POSTS + FOLLOWS {
            let subject = someone(number + 3);
            let record = format!(
                r#"{{"$type":"app.bsky.graph.follow","createdAt":"2026-11-29T12:00:00.000Z","subject":"{subject}"}}"#
            );
            return Item::create(&author, "app.bsky.graph.follow", &rkey, &record);
        }
        if place < LIKES + POSTS + FOLLOWS + REPOSTS {
            return Item::create(&author, "app.bsky.feed.repost", &rkey, &about("app.bsky.feed.repost"));
        }
        Item::delete(&author, "app.bsky.feed.like", &rkey)
    }
}

/// A chat message for this streamer.
pub(crate) fn chat(streamer: &str, rkey: &str) -> Item {
    let record = format!(
        r#"{{"$type":"{CHAT}","createdAt":"2099-01-01T00:00:00.000Z","streamer":"{streamer}","text":"that was close"}}"#
    );
    Item::create(&someone(7), CHAT, rkey, &record)
}

/// An account with a webhook, and one with a wh record if there are as many.
pub(crate) fn streamer(number: usize) -> String {
    did('s', number)
}

/// An account whose records somebody wants.
pub(crate) fn scope(number: usize) -> String {
    did('w', number)
}

fn someone(number: usize) -> String {
    did('x', number)
}

fn did(letter: char, number: usize) -> String {
    format!("did:plc:{letter}2222222222{}", key(number))
}

fn key(number: usize) -> String {
    tid(u64::try_from(number).unwrap_or_default())
}

fn post(mentioned: &str, parent: &str) -> String {
    let cid = cid(parent);
    format!(
        r##"{{"$type":"app.bsky.feed.post","createdAt":"2026-11-29T12:00:00.000Z","facets":[{{"features":[{{"$type":"app.bsky.richtext.facet#mention","did":"{mentioned}"}}],"index":{{"byteEnd":16,"byteStart":0}}}}],"langs":["en"],"reply":{{"parent":{{"cid":"{cid}","uri":"{parent}"}},"root":{{"cid":"{cid}","uri":"{parent}"}}}},"text":"@somebody.example I had the same thing last week, and in the end it was the cable. Try another one before you take it apart."}}"##
    )
}

fn thing() -> String {
    format!(
        r#"{{"$type":"{THING}","createdAt":"2026-11-29T12:00:00.000Z","title":"A thing","tags":["one","two"],"text":"{}"}}"#,
        "words ".repeat(40)
    )
}
