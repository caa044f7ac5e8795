// SPDX-License-Identifier: BSD-2-Clause
//! A container's state, as the OCI runtime specification has it ("State").

use core::fmt;

use serde::Serialize;
use xos_protocol::IcId;

/// The version of the runtime specification that the answer is of.
const OCI_VERSION: &str = "1.2.0";
/// Bytes of the longest answer.
pub const MAX_BYTES: usize = 512;

/// Where a container is in its life. (While it is being created, nobody has its handle.)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, not started.
    Created,
    /// Started, and its first process has not ended.
    Running,
    /// Its first process has ended, and everything else with it.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Stopped => "stopped",
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u64>,
    bundle: &'a str,
}

/// The state as JSON. Process numbers of a container mean nothing outside, so `pid` is the number of its
/// IC, which is also its `id`.
pub fn json<'b>(id: IcId, status: Status, name: &str, buffer: &'b mut [u8; MAX_BYTES]) -> &'b [u8] {
    use core::fmt::Write;
    let (mut number, mut bundle) = (heapless::String::<20>::new(), heapless::String::<96>::new());
    // There is room: a 64-bit number has 20 digits, a name 64 bytes.
    let _ = write!(number, "{id}");
    let _ = write!(bundle, "/{}/{name}", xos_container::CONTAINERS);
    let state = State {
        oci_version: OCI_VERSION,
        id: &number,
        status,
        pid: (status != Status::Stopped).then_some(id.serial()),
        bundle: &bundle,
    };
    let length = serde_json_core::to_slice(&state, buffer).unwrap_or(0);
    &buffer[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn state(status: Status, name: &str) -> Value {
        let id = IcId::new(42, 7).unwrap();
        serde_json::from_slice(json(id, status, name, &mut [0; MAX_BYTES])).unwrap()
    }

    #[test]
    fn a_state_has_what_the_specification_demands() {
        let expected = json!({
            "ociVersion": "1.2.0", "id": "42", "status": "running", "pid": 42, "bundle": "/containers/box",
        });
        assert_eq!(state(Status::Running, "box"), expected);
    }

    #[test]
    fn what_has_stopped_has_no_process() {
        assert_eq!(state(Status::Stopped, "box").get("pid"), None);
        assert_eq!(state(Status::Created, "box")["pid"], 42);
    }

    #[test]
    fn the_longest_state_fits() {
        let id = IcId::new((1 << 40) - 1, 4095).unwrap();
        let name = "n".repeat(xos_container::MAX_NAME);
        assert!(!json(id, Status::Created, &name, &mut [0; MAX_BYTES]).is_empty());
    }
}
