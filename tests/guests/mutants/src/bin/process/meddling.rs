// SPDX-License-Identifier: BSD-2-Clause
//! The defects that are in what all factories have in common: the loop, between a message and its answer.

use xos_protocol::Who;
use xos_protocol::factory::{HandleOp, SelfOp};
use xos_server::{Deferred, Outcome, Reply, Request, Server};

use crate::broken::knob;

/// The loop with its defects.
pub struct Meddling<'a>(pub &'a mut crate::Server);

impl Server for Meddling<'_> {
    fn call(
        &mut self,
        who: Who,
        request: Request<'_>,
        reply: &mut Reply,
        deferred: &mut Deferred<'_>,
    ) -> Outcome {
        let is = |op: u64| request.label() == op;
        match (knob().defect(), who) {
            ("an_exit_code_is_told_wrong", Who::Itself(_)) if is(SelfOp::Exit.label()) => {
                let words = [request.word(0) ^ 1];
                self.0
                    .call(who, Request::new(request.label(), &words), reply, deferred)
            }
            ("who_is_suspended_runs_on", Who::Handle(_)) if is(HandleOp::Suspend.label()) => {
                reply.ok(&[])
            }
            ("an_ic_is_started_twice", Who::Handle(_)) if is(HandleOp::Start.label()) => {
                match self.0.call(who, request, reply, deferred) {
                    Outcome::Reply => reply.ok(&[]),
                    other => other,
                }
            }
            ("a_kill_is_told_as_a_return", Who::Handle(index)) if is(HandleOp::Kill.label()) => {
                let exit = Request::new(SelfOp::Exit.label(), &[0]);
                self.0.call(Who::Itself(index), exit, reply, deferred);
                reply.ok(&[])
            }
            _ => self.0.call(who, request, reply, deferred),
        }
    }

    fn notified(&mut self, bits: u64, deferred: &mut Deferred<'_>) {
        self.0.notified(bits, deferred);
    }
}
