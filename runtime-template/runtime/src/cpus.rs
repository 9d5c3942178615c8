//! CPUs that come and go while they are traced → a sentence: the kernel's events of a CPU end when it goes offline, and one that
//! comes later has none.

use std::collections::BTreeSet;

use btc_abi::Attach;

use crate::plan::Plan;
use crate::target::online_cpus;

/// The CPUs that were online when the probes attached.
pub struct Cpus {
    online: BTreeSet<i32>,
    /// Whether probes have an event for each of them.
    each: bool,
    /// The one that intervals tick on.
    timer: Option<i32>,
}

impl Cpus {
    /// `None` where no probe of the plan has an event of a CPU. `pid`: the process that events are of, if they are.
    #[must_use]
    pub fn traced(plan: &Plan, pid: Option<i32>) -> Option<Self> {
        let each = |attach: &Attach| match attach {
            Attach::Profile { .. } => true,
            Attach::Software { .. } | Attach::Hardware { .. } | Attach::Watchpoint { .. } => {
                pid.is_none()
            }
            _ => false,
        };
        let traced: Vec<&Attach> = (plan.probes.iter())
            .filter(|planned| !planned.sites.is_empty())
            .map(|planned| &planned.probe.attach)
            .collect();
        let ticks = |attach: &&Attach| matches!(attach, Attach::Interval { .. });
        let (each, ticking) = (
            traced.iter().any(|attach| each(attach)),
            traced.iter().any(ticks),
        );
        if !each && !ticking {
            return None;
        }
        let online = online();
        let timer = online.first().copied().filter(|_| ticking);
        (!online.is_empty()).then_some(Cpus {
            online,
            each,
            timer,
        })
    }

    /// What has changed since, for the user.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        self.changed(&online())
    }

    fn changed(&self, now: &BTreeSet<i32>) -> Vec<String> {
        let stopped = self.timer.filter(|cpu| !now.contains(cpu)).map(|cpu| {
            format!("CPU {cpu} went offline: the intervals ticked on it, and have stopped")
        });
        let gone = self.online.difference(now).map(|cpu| {
            format!("CPU {cpu} went offline: what it had to trace since is not in the results")
        });
        let come = now.difference(&self.online).map(|cpu| {
            format!("CPU {cpu} came online later: what it had to trace is not in the results")
        });
        let each = gone.chain(come).filter(|_| self.each);
        stopped.into_iter().chain(each).collect()
    }
}

/// Empty where /sys does not tell.
fn online() -> BTreeSet<i32> {
    online_cpus().unwrap_or_default().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::Cpus;

    #[test]
    fn what_stopped_is_said() {
        let cpus = |each, timer| Cpus {
            online: [0, 1].into(),
            each,
            timer,
        };
        let intervals = cpus(false, Some(0));
        assert_eq!(intervals.changed(&[0, 1].into()), [""; 0]);
        assert_eq!(intervals.changed(&[0, 2].into()), [""; 0]);
        let said = intervals.changed(&[1].into());
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("the intervals ticked on it"));
        assert_eq!(cpus(true, Some(0)).changed(&[1, 2].into()).len(), 3);
        assert_eq!(cpus(true, None).changed(&[0].into()).len(), 1);
    }
}
