//! One path at a time, as readable lines.

use crate::house::House;
use dialer_core::config::{CampaignConfig, DialMode};
use dialer_core::outcome::{EndCause, Party};
use dialer_core::{CallFact, Command, ListId};
use expect_test::{Expect, expect};

fn check(house: &mut House, expected: &Expect) {
    expected.assert_eq(&house.log());
}

pub(crate) fn progressive(list: ListId) -> CampaignConfig {
    CampaignConfig {
        name: "renewals".into(),
        mode: DialMode::Progressive,
        lists: vec![list],
        ..CampaignConfig::default()
    }
}

#[test]
fn a_progressive_call_from_start_to_wrap_up() {
    let mut house = House::new();
    house.plain_trunk();
    house.ready_agent("anna");
    let list = house.list(2);
    let campaign = house.campaign(progressive(list));
    house.log();
    house.command(Command::StartCampaign(campaign)).unwrap();
    check(
        &mut house,
        &expect![[r#"
              0.000  journal CampaignPut
              0.000  event   campaign.started
              0.000  load    500 leads
              0.000  event   campaign.pacing dialing 0 target 0 limited by hopper
              0.000  reply   Campaign(camp1, 2)
        "#]],
    );
    house.pass(50);
    let call = house.last_dialled();
    house.pass(300);
    house.call_fact(CallFact::Dialled { call });
    house.pass(2000);
    house.call_fact(CallFact::Ringing { call, early_media: false });
    house.pass(5000);
    house.call_fact(CallFact::Answered { call });
    house.pass(4);
    house.call_fact(CallFact::Bridged { call });
    check(
        &mut house,
        &expect![[r#"
          0.050  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
          0.050  order   DialCustomer { call: call1, campaign: Some(camp1), trunk: trk1, to: "+49301000001", caller_id: None, ring_timeout_ms: 28000, early_media: true, amd: false, call_max_ms: 14400000 }
          0.050  event   call.created #1
          0.350  event   call.dialing #2
          1.000  event   campaign.pacing dialing 1 target 1 limited by agents
          2.350  event   call.ringing #3
          7.350  event   call.answered #4
          7.350  order   UseSession { call: call1, agent: anna }
          7.350  order   Bridge { call: call1, tone: true, record: Some(rec1) }
          7.350  event   agent.state ready -> reserved (offered)
          7.350  event   call.agent_offered #5
          7.350  event   campaign.pacing dialing 0 target 0 limited by agents
          7.354  event   agent.state reserved -> talking (bridged)
          7.354  journal Ledger(live)
          7.354  event   call.bridged #6 after Some(4) ms
    "#]],
    );
    house.pass(60_000);
    house.call_fact(CallFact::LegEnded {
        call,
        party: Party::Customer,
        cause: EndCause::Normal,
        sip_code: None,
        q850: None,
    });
    house.end(call, Party::Customer, EndCause::Normal);
    check(
        &mut house,
        &expect![[r#"
          9.000  event   campaign.pacing dialing 0 target 0 limited by agents
         67.354  event   leg.ended #7 customer normal
         67.354  event   leg.ended #8 agent normal
         67.354  event   agent.state talking -> wrap_up (call_ended)
         67.354  journal CallEnded(connected) LeadChanged(done, 1 attempts)
         67.354  event   call.ended #9 connected
         67.354  event   lead.updated #10 (late) done
         67.354  event   campaign.pacing dialing 0 target 0 limited by agents
    "#]],
    );
    house.pass(20_000);
    check(
        &mut house,
        &expect![[r#"
         87.354  journal WrapUpEnded(20000)
         87.354  event   agent.state wrap_up -> ready (wrap_up_over)
         87.354  journal AttemptStarted(1) LeadChanged(dialing, 1 attempts)
         87.354  order   DialCustomer { call: call2, campaign: Some(camp1), trunk: trk1, to: "+49301000002", caller_id: None, ring_timeout_ms: 28000, early_media: true, amd: false, call_max_ms: 14400000 }
         87.354  event   call.created #1
         87.354  event   campaign.pacing dialing 1 target 1 limited by agents
    "#]],
    );
}
