//! The form of tokens, and arbitrary text as a token. Rules for claims are tested in
//! `auth/tests/refusals.rs`.

use proptest::prelude::{any, proptest};

use super::Audiences;
use super::{Algorithm, Token};
use crate::auth::refusal::Refusal;
use crate::auth::tests::issuer::{Issuer, NOW_S, NSID, SERVICE, Signer};

const HEADER: &str = r#"{"typ":"JWT","alg":"ES256K"}"#;

fn issuer() -> Issuer {
    Issuer::plc(Signer::k256(1))
}

fn refusal(token: &str) -> Refusal {
    Token::parse(token).unwrap_err()
}

#[test]
fn parts_of_a_token() {
    let issuer = issuer();
    let text = issuer.good_token();
    let token = Token::parse(&text).unwrap();
    assert_eq!(token.issuer.as_str(), issuer.did());
    assert_eq!(token.algorithm, Algorithm::Es256k);
    assert_eq!(token.text, text);
    assert!(text.starts_with(&format!("{}.", token.signed)));
    assert_eq!(token.expires, NOW_S + 60);
    assert_eq!(token.check(&Audiences::new(vec![SERVICE.to_owned()]), NSID, NOW_S), Ok(()));
}

#[test]
fn not_three_parts_of_strict_base64url() {
    let good = issuer().good_token();
    for token in [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        &good.replacen('.', "", 1),
        &format!("{good}."),
        &format!(".{good}"),
        &format!("{good}=="),
        &format!("{good} "),
        &good.replacen('.', "=.", 1),
        &format!("+{good}"),
    ] {
        assert_eq!(refusal(token), Refusal::NotAJwt, "{token}");
    }
}

/// The last character of 64 bytes has 4 unused bits that must be 0: otherwise a token would have several
/// hashes.
#[test]
fn one_spelling_only() {
    let good = issuer().good_token();
    let mut other = good.clone();
    let last = other.pop().unwrap();
    other.push(char::from_u32(u32::from(last) + 1).unwrap());
    assert_eq!(refusal(&other), Refusal::NotAJwt);
}

#[test]
fn not_json_objects() {
    let issuer = issuer();
    for header in ["", "[]", "\"JWT\"", "{", "{} {}", "null"] {
        assert_eq!(refusal(&issuer.token_of(header, "{}")), Refusal::HeaderNotJson, "{header}");
    }
    for claims in ["", "[]", "7", "{", "{} {}", "null", "\u{feff}{}"] {
        assert_eq!(refusal(&issuer.token_of(HEADER, claims)), Refusal::ClaimsNotJson, "{claims}");
    }
}

#[test]
fn duplicates() {
    let issuer = issuer();
    let header = r#"{"alg":"ES256K","alg":"ES256K"}"#;
    assert_eq!(refusal(&issuer.token_of(header, "{}")), Refusal::Duplicate);
    let claims = issuer.claims().to_string();
    let claims = claims.trim_end_matches('}');
    for twice in [r#""exp":1800000060"#, r#""jti":"a""#, r#""l\u0078m":"a""#] {
        let claims = format!("{claims},{twice}}}");
        assert_eq!(refusal(&issuer.token_of(HEADER, &claims)), Refusal::Duplicate, "{twice}");
    }
}

#[test]
fn other_claims_may_be_anything() {
    let issuer = issuer();
    let claims = issuer.claims().to_string();
    let claims = claims.trim_end_matches('}');
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for other in [
        "null",
        "true",
        "1.5",
        "-1e9",
        "1e400",
        "18446744073709551615",
        r#""\u00e9""#,
        r#""\ud800""#,
        r#"[[],{"a":["\udc00"]}]"#,
        r#"{"\ud800":1}"#,
        "{}",
        &deep,
    ] {
        let token = issuer.token_of(HEADER, &format!(r#"{claims},"other":{other}}}"#));
        assert!(Token::parse(&token).is_ok(), "{other}");
        let header = format!(r#"{{"alg":"ES256K","other":{other}}}"#);
        assert!(Token::parse(&issuer.token_of(&header, &issuer.claims().to_string())).is_ok(), "{other}");
        let twice = issuer.token_of(HEADER, &format!(r#"{claims},"other":{other},"other":{other}}}"#));
        assert_eq!(refusal(&twice), Refusal::Duplicate, "{other}");
    }
    for broken in ["", "[}", "{1:2}", "nul", "'a'", r#""\ud8""#, r#"{"a"}"#, "[[1]"] {
        let token = issuer.token_of(HEADER, &format!(r#"{claims},"other":{broken}}}"#));
        assert_eq!(refusal(&token), Refusal::ClaimsNotJson, "{broken}");
    }
}

/// What a rule reads must be JSON that can be read.
#[test]
fn read_claims_hold_no_lone_surrogate() {
    let issuer = issuer();
    for (name, value) in [("aud", r#""\ud800""#), ("exp", "1e400"), ("nbf", r#"["\ud800"]"#)] {
        let mut claims = issuer.claims();
        claims.as_object_mut().unwrap().remove(name);
        let claims = claims.to_string();
        let claims = format!(r#"{},"{name}":{value}}}"#, claims.trim_end_matches('}'));
        assert_eq!(refusal(&issuer.token_of(HEADER, &claims)), Refusal::ClaimsNotJson, "{name}");
    }
}

/// As the reference implementation's `createServiceJwt` writes it: with `jti`, in this order, and without
/// `kid`.
#[test]
fn token_of_the_reference_implementation() {
    let issuer = issuer();
    let claims = format!(
        r#"{{"iat":{NOW_S},"iss":"{}","aud":"{SERVICE}","exp":{},"lxm":"{NSID}","jti":"3f9a"}}"#,
        issuer.did(),
        NOW_S + 60
    );
    let token = issuer.token_of(HEADER, &claims);
    assert_eq!(
        Token::parse(&token).unwrap().check(&Audiences::new(vec![SERVICE.to_owned()]), NSID, NOW_S),
        Ok(())
    );
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        let _outcome = Token::parse(&text);
    }

    #[test]
    fn any_parts_are_parsed_or_refused(text in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,100}") {
        let _outcome = Token::parse(&text);
    }

    #[test]
    fn any_json_is_parsed_or_refused(header in any::<String>(), claims in any::<String>()) {
        let issuer = issuer();
        let _outcome = Token::parse(&issuer.token_of(&header, &claims));
        let _outcome = Token::parse(&issuer.token_of(HEADER, &claims));
    }

    #[test]
    fn any_signature_is_parsed_or_refused(signature in any::<Vec<u8>>()) {
        let token = issuer().resigned(|_| signature.clone());
        assert_eq!(Token::parse(&token).is_ok(), signature.len() == 64);
    }

    #[test]
    fn any_times_are_judged(expires in any::<i64>(), now in any::<i64>(), start in any::<i64>()) {
        let issuer = issuer();
        let mut claims = issuer.claims_with("exp", expires.into());
        claims["nbf"] = start.into();
        let token = issuer.token(&claims);
        let result = Token::parse(&token).unwrap().check(&Audiences::new(vec![SERVICE.to_owned()]), NSID, now);
        let (expires, now, start) = (i128::from(expires), i128::from(now), i128::from(start));
        let valid = now <= expires + 30 && expires <= now + 3_630 && start <= now + 30;
        assert_eq!(result.is_ok(), valid);
    }
}
