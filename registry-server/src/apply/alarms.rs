//! The alarms: what is wrong with which member, replicated, so that every member refuses the same commands.
//!
//! Raising one is always an entry of the log. While any member is out of space, whatever costs room is
//! refused (see [`cost`](super::cost)); while any is corrupt, whatever changes keys or leases is, as in etcd: nobody
//! knows which of the members to believe. What is read is answered still.

use std::collections::BTreeSet;

use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType};

use super::reply::ApplyError;
use crate::types::MemberId;

/// Alarms are raised by whoever names a member, so their number needs a bound.
const MAX_ALARMS: usize = 1_024;

/// The alarms that are raised, by member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alarms(BTreeSet<(MemberId, AlarmType)>);

impl Alarms {
    /// Every alarm that is raised, by member.
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, AlarmType)> {
        self.0.iter().copied()
    }

    /// An alarm of this kind is raised by this member.
    #[must_use]
    pub fn has(&self, member: MemberId, alarm: AlarmType) -> bool {
        self.0.contains(&(member, alarm))
    }

    /// Some member is out of space.
    #[must_use]
    pub fn no_space(&self) -> bool {
        self.0.iter().any(|(_, alarm)| *alarm == AlarmType::Nospace)
    }

    /// Some member holds something else than the others.
    #[must_use]
    pub fn corrupt(&self) -> bool {
        self.0.iter().any(|(_, alarm)| *alarm == AlarmType::Corrupt)
    }

    /// The alarms of one kind, or all of them, in the wire's words.
    #[must_use]
    pub fn of(&self, kind: AlarmType) -> Vec<AlarmMember> {
        let wanted = self.iter().filter(|(_, alarm)| kind == AlarmType::None || *alarm == kind);
        wanted.map(|(member, alarm)| wire(member, alarm)).collect()
    }

    /// Does what is asked and tells the alarms it was about. Raising what is raised and clearing what is not
    /// changes nothing; a kind that this version does not know is none.
    pub(super) fn change(&mut self, request: &AlarmRequest) -> Result<Vec<AlarmMember>, ApplyError> {
        let (member, alarm) = (MemberId(request.member_id), request.alarm());
        match request.action() {
            AlarmAction::Get => Ok(self.of(alarm)),
            AlarmAction::Activate if alarm == AlarmType::None => Ok(Vec::new()),
            AlarmAction::Activate => {
                if self.0.len() >= MAX_ALARMS && !self.has(member, alarm) {
                    return Err(ApplyError::TooManyAlarms);
                }
                self.0.insert((member, alarm));
                Ok(vec![wire(member, alarm)])
            }
            AlarmAction::Deactivate if self.0.remove(&(member, alarm)) => Ok(vec![wire(member, alarm)]),
            AlarmAction::Deactivate => Ok(Vec::new()),
        }
    }

    /// Clears the alarms of a member that is none any more.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.0.retain(|(raised, _)| *raised != member);
    }

    /// What a snapshot holds of them, and the way back; a kind that this version does not know is left out.
    pub(super) fn restore(stored: &[AlarmMember]) -> Self {
        let known = stored.iter().filter(|stored| stored.alarm() != AlarmType::None);
        Self(known.map(|stored| (MemberId(stored.member_id), stored.alarm())).collect())
    }
}

fn wire(member: MemberId, alarm: AlarmType) -> AlarmMember {
    AlarmMember { member_id: member.0, alarm: alarm.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(action: AlarmAction, member_id: u64, alarm: AlarmType) -> AlarmRequest {
        AlarmRequest { action: action.into(), member_id, alarm: alarm.into() }
    }

    #[test]
    fn raising_and_clearing_twice_is_the_same_as_once() {
        let mut alarms = Alarms::default();
        let raise = request(AlarmAction::Activate, 7, AlarmType::Nospace);
        let raised = alarms.change(&raise).unwrap();
        assert_eq!(raised, [AlarmMember { member_id: 7, alarm: AlarmType::Nospace.into() }]);
        assert_eq!(alarms.change(&raise).unwrap(), raised);
        assert_eq!(alarms.of(AlarmType::None), raised);
        let clear = request(AlarmAction::Deactivate, 7, AlarmType::Nospace);
        assert_eq!(alarms.change(&clear).unwrap(), raised);
        assert!(alarms.change(&clear).unwrap().is_empty());
        assert_eq!(alarms, Alarms::default());
    }

    #[test]
    fn one_member_out_of_space_is_enough() {
        let mut alarms = Alarms::default();
        alarms.change(&request(AlarmAction::Activate, 1, AlarmType::Corrupt)).unwrap();
        assert!(!alarms.no_space());
        alarms.change(&request(AlarmAction::Activate, 1, AlarmType::Nospace)).unwrap();
        alarms.change(&request(AlarmAction::Activate, 2, AlarmType::Nospace)).unwrap();
        alarms.change(&request(AlarmAction::Deactivate, 1, AlarmType::Nospace)).unwrap();
        assert!(alarms.no_space());
        assert_eq!(alarms.of(AlarmType::Corrupt).len(), 1);
    }

    #[test]
    fn a_member_that_is_none_any_more_has_no_alarms() {
        let mut alarms = Alarms::default();
        alarms.change(&request(AlarmAction::Activate, 1, AlarmType::Corrupt)).unwrap();
        alarms.change(&request(AlarmAction::Activate, 2, AlarmType::Nospace)).unwrap();
        assert!(alarms.corrupt());
        alarms.forget(MemberId(1));
        assert!(!alarms.corrupt() && alarms.no_space());
    }

    #[test]
    fn no_kind_at_all_is_never_raised() {
        let mut alarms = Alarms::default();
        assert!(alarms.change(&request(AlarmAction::Activate, 1, AlarmType::None)).unwrap().is_empty());
        assert_eq!(alarms, Alarms::default());
    }

    #[test]
    fn invented_members_do_not_fill_the_memory() {
        let mut alarms = Alarms::default();
        let mut raise = |member| alarms.change(&request(AlarmAction::Activate, member, AlarmType::Nospace));
        (0..MAX_ALARMS as u64).for_each(|member| drop(raise(member).unwrap()));
        assert_eq!(raise(u64::MAX), Err(ApplyError::TooManyAlarms));
        raise(0).unwrap();
    }
}
