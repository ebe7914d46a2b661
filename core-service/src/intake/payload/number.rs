//! Numbers as JavaScript writes them: `Number::toString` of ECMAScript, with radix 10.

/// Writes a finite number. There is one way to write each: -0 is `0`, 1.0 is `1`.
pub(super) fn write_number(json: &mut String, value: f64) {
    if value == 0.0 {
        json.push('0');
        return;
    }
    // The shortest digits that read back as the same double, as ECMAScript wants them.
    let shortest = format!("{:e}", value.abs());
    let (mantissa, exponent) = shortest.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of a double");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if value < 0.0 {
        json.push('-');
    }
    let count = i32::try_from(digits.len()).expect("a double has at most 17 digits");
    // Where the decimal point stands: after that many digits.
    let point = exponent + 1;
    match point {
        _ if count <= point && point <= 21 => {
            json.push_str(&digits);
            json.extend((count..point).map(|_| '0'));
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).expect("1 to 21"));
            json.push_str(whole);
            json.push('.');
            json.push_str(fraction);
        }
        -5..=0 => {
            json.push_str("0.");
            json.extend((point..0).map(|_| '0'));
            json.push_str(&digits);
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            json.push_str(first);
            if !rest.is_empty() {
                json.push('.');
                json.push_str(rest);
            }
            json.push('e');
            json.push(if exponent < 0 { '-' } else { '+' });
            json.push_str(&exponent.unsigned_abs().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn written(value: f64) -> String {
        let mut json = String::new();
        write_number(&mut json, value);
        json
    }

    proptest! {
        #[test]
        fn reads_back_as_the_same_double(value in any::<f64>()) {
            let value = if value.is_finite() { value } else { 1.5 };
            prop_assert_eq!(written(value).parse::<f64>().unwrap(), value);
        }

        #[test]
        fn whole_numbers_have_no_fraction(value in any::<i32>()) {
            prop_assert_eq!(written(f64::from(value)), value.to_string());
        }
    }
}
