//! One connection to one host, for whoever wants to know whether it can be had.

use crate::dial::{self, Compression, Refused};
use crate::host::{Cursor, Host};
use crate::options::Options;

/// Connects to `host`, asks for events from `time_us` on (microseconds since 1970), and hangs up. The caller
/// limits the time. Other hosts of the options are left alone.
///
/// # Errors
///
/// Why there is no connection, without a word of the host's own.
pub async fn connect(options: &Options, host: &Host, time_us: i64) -> Result<(), String> {
    let options = options.clone().compress(false);
    match dial::open(&options, host, &Compression::default(), Cursor::time(time_us, 0)).await {
        Ok(_) => Ok(()),
        Err(Refused::TooOld) => Err("it has no events of this time".to_owned()),
        Err(Refused::Because(reason)) => Err(reason),
    }
}
