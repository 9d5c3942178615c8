//! CPUs that come and go while they are traced → a sentence: the kernel's events of a CPU end when it goes offline, and one that
//! comes later has none.

use std::collections::BTreeSet;

use btc_abi::Attach;

use crate::plan::Plan;
use crate::target::online_cpus;

/// The CPUs that were online when the probes attached.
pub struct Cpus(BTreeSet<i32>);

impl Cpus {
    /// `None` where no probe of the plan has an event for each CPU. `pid`: the process that events are of, if they are.
    #[must_use]
    pub fn traced(plan: &Plan, pid: Option<i32>) -> Option<Self> {
        let each = |attach: &Attach| match attach {
            Attach::Profile { .. } => true,
            Attach::Software { .. } | Attach::Hardware { .. } | Attach::Watchpoint { .. } => {
                pid.is_none()
            }
            _ => false,
        };
        let traced = plan
            .probes
            .iter()
            .filter(|planned| !planned.sites.is_empty());
        let any = traced.map(|planned| &planned.probe.attach).any(each);
        any.then(|| Cpus(online()))
            .filter(|cpus| !cpus.0.is_empty())
    }

    /// What has changed since, for the user.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let now = online();
        let gone = self.0.difference(&now).map(|cpu| {
            format!("CPU {cpu} went offline: what it had to trace since is not in the results")
        });
        let come = now.difference(&self.0).map(|cpu| {
            format!("CPU {cpu} came online later: what it had to trace is not in the results")
        });
        gone.chain(come).collect()
    }
}

/// Empty where /sys does not tell.
fn online() -> BTreeSet<i32> {
    online_cpus().unwrap_or_default().into_iter().collect()
}
