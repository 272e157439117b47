//! Tenants share the house's trunks and nothing else.

use crate::house::{House, request};
use dialer_core::config::{AgentConfig, CampaignConfig, ListConfig, SessionKind, TrunkTransport};
use dialer_core::participant::{CallWish, Joining, Target};
use dialer_core::record::Actor;
use dialer_core::{
    AgentDevice, AgentId, CallId, CallOrder, CampaignId, Command, CommandError, ListId, OriginateRequest,
    Reply, Tenant,
};

/// As a token of this tenant asks.
fn ask(house: &mut House, tenant: &str, command: Command) -> Result<Reply, CommandError> {
    let by = Actor { token: None, name: "test".into(), tenant: Tenant::new(tenant) };
    house.command(Command::By { by, command: Box::new(command) })
}

struct Owned {
    agent: AgentId,
    list: ListId,
    campaign: CampaignId,
}

/// A tenant with an agent who is ready, a list with leads, and a campaign for "all agents".
fn tenant(house: &mut House, name: &str) -> Owned {
    let device = AgentDevice::Address {
        user: String::new(),
        address: "198.51.100.9:5060".into(),
        transport: TrunkTransport::Udp,
    };
    let agent = AgentConfig { name: name.into(), username: name.into(), device, ..AgentConfig::default() };
    let Ok(Reply::Agent(agent, _)) = ask(house, name, Command::CreateAgent(agent)) else { panic!() };
    let login = Command::AgentLogin { agent, session: SessionKind::OnDemand };
    ask(house, name, login).unwrap();
    let list = ListConfig { name: "leads".into(), ..ListConfig::default() };
    let Ok(Reply::List(list, _)) = ask(house, name, Command::CreateList(list)) else { panic!() };
    house.leads(list, 5);
    let config = CampaignConfig { lists: vec![list], ..crate::ladder::progressive(list) };
    let Ok(Reply::Campaign(campaign, _)) = ask(house, name, Command::CreateCampaign(Box::new(config))) else {
        panic!()
    };
    Owned { agent, list, campaign }
}

fn rung(house: &House) -> Vec<AgentId> {
    let agent = |order: &CallOrder| match order {
        CallOrder::RingAgent { agent, .. } => Some(*agent),
        _ => None,
    };
    house.orders.iter().filter_map(agent).collect()
}

#[test]
fn a_campaign_is_served_by_its_tenants_agents_alone() {
    let mut house = House::new();
    house.plain_trunk();
    let acme = tenant(&mut house, "acme");
    let blue = tenant(&mut house, "blue");
    ask(&mut house, "acme", Command::StartCampaign(acme.campaign)).unwrap();
    house.pass(60);
    // One ready agent of its own: one line, though there are two agents in the house.
    assert_eq!(house.dialled().len(), 1);
    let call = house.last_dialled();
    house.answer(call);
    assert_eq!(rung(&house), [acme.agent]);
    ask(&mut house, "acme", Command::AgentLogout(acme.agent)).unwrap();
    let own = |event: &&dialer_core::EventEnvelope| event.call == Some(call);
    assert!(house.store.events.iter().filter(own).all(|event| event.tenant == Tenant::new("acme")));
    assert!(rung(&house).iter().all(|agent| *agent != blue.agent));
}

fn originate(agent: AgentId, campaign: Option<CampaignId>) -> Command {
    Command::Originate(OriginateRequest { campaign, ..request(agent, "+8613800138000") })
}

#[test]
fn commands_reach_the_tenants_own_and_nothing_else() {
    let mut house = House::new();
    house.plain_trunk();
    let acme = tenant(&mut house, "acme");
    let blue = tenant(&mut house, "blue");
    let Ok(Reply::Call(call)) = ask(&mut house, "acme", originate(acme.agent, Some(acme.campaign))) else {
        panic!()
    };
    let named = |agent: AgentId, list: ListId, campaign: CampaignId, call: CallId| {
        vec![
            Command::AgentLogin { agent, session: SessionKind::OnDemand },
            Command::AgentReady(agent),
            Command::AgentPause { agent, code: "lunch".into() },
            Command::AgentLogout(agent),
            Command::DeleteAgent(agent),
            Command::UpdateAgent { agent, config: AgentConfig::default(), if_version: None },
            Command::LeadsImported { list, accepted: 1 },
            Command::UpdateList { list, config: ListConfig::default(), if_version: None },
            Command::DeleteList(list),
            Command::StartCampaign(campaign),
            Command::PauseCampaign(campaign),
            Command::ResumeCampaign(campaign),
            Command::StopCampaign(campaign),
            Command::UpdateCampaign { campaign, config: Box::default(), if_version: None },
            Command::DeleteCampaign(campaign),
            originate(agent, None),
            Command::Call { call, wish: CallWish::Hold(true) },
            Command::Hangup(call),
        ]
    };
    for command in named(acme.agent, acme.list, acme.campaign, call) {
        let reply = ask(&mut house, "blue", command.clone());
        assert!(matches!(reply, Err(CommandError::NotFound { .. })), "{command:?}: {reply:?}");
    }
    assert!(!house.hung_up(call));
    // Theirs, where their owner asks: none of these is not there.
    for command in named(acme.agent, acme.list, acme.campaign, call) {
        let reply = ask(&mut house, "acme", command.clone());
        let gone = matches!(command, Command::DeleteAgent(_) | Command::DeleteList(_));
        assert!(gone || !matches!(reply, Err(CommandError::NotFound { .. })), "{command:?}: {reply:?}");
    }
    let joining = Joining {
        target: Target::Agent(acme.agent),
        known: None,
        mode: None,
        ring_timeout_ms: None,
        trunk: None,
        caller_id: None,
        override_reason: None,
    };
    let Ok(Reply::Call(own)) = ask(&mut house, "blue", originate(blue.agent, None)) else { panic!() };
    let reply = ask(&mut house, "blue", Command::Call { call: own, wish: CallWish::Join(joining) });
    assert_eq!(reply, Err(CommandError::NotFound { what: "agent" }));
}

#[test]
fn what_is_the_operators_is_closed_to_tenants() {
    let mut house = House::new();
    let trunk = house.plain_trunk();
    for command in [
        Command::DeleteTrunk(trunk),
        Command::StopNow,
        Command::Undrain,
        Command::DeleteCallerIdPool(dialer_core::CallerIdPoolId::from_bits(1)),
        Command::CreateTrunk(dialer_core::config::TrunkConfig::default()),
    ] {
        let reply = ask(&mut house, "acme", command.clone());
        assert!(matches!(reply, Err(CommandError::NotFound { .. })), "{command:?}: {reply:?}");
    }
}

/// The operator gives trunks; the tenant keeps them, may leave some out, and takes no others.
#[test]
fn a_tenant_keeps_what_the_operator_has_given_to_its_campaign() {
    let mut house = House::new();
    let (given, other) = (house.plain_trunk(), {
        house.trunk(dialer_core::config::TrunkConfig {
            name: "other".into(),
            address: "192.0.2.2:5060".into(),
            options_interval_ms: 0,
            ..Default::default()
        })
    });
    let acme = tenant(&mut house, "acme");
    let config = |house: &House| house.store.campaigns[&acme.campaign].config.clone();
    let with = |house: &House, trunks: &[dialer_core::TrunkId]| {
        let config = CampaignConfig { trunks: trunks.to_vec(), ..config(house) };
        Command::UpdateCampaign { campaign: acme.campaign, config: Box::new(config), if_version: None }
    };
    let give = with(&house, &[given]);
    house.command(give).unwrap();
    assert_eq!(
        config(&house).tenant,
        Tenant::new("acme").unwrap(),
        "the operator's change leaves it whose it is"
    );
    let same = with(&house, &[given]);
    ask(&mut house, "acme", same).unwrap();
    for wrong in [vec![other], vec![given, other], Vec::new()] {
        let wrong = with(&house, &wrong);
        let reply = ask(&mut house, "acme", wrong);
        assert!(matches!(reply, Err(CommandError::Invalid { .. })), "{reply:?}");
    }
}

/// A tenant's own do-not-call lists hold for its calls alone; those that hold everywhere hold for all.
#[test]
fn a_tenants_do_not_call_list_is_its_own() {
    use dialer_core::config::DncListConfig;
    use dialer_core::record::DncNumbers;
    let mut house = House::new();
    house.plain_trunk();
    let acme = tenant(&mut house, "acme");
    let blue = tenant(&mut house, "blue");
    let list = DncListConfig { name: "ours".into(), everywhere: true, ..DncListConfig::default() };
    let Ok(Reply::DncList(own, _)) = ask(&mut house, "acme", Command::CreateDncList(list)) else { panic!() };
    let shared = crate::compliance::dnc_list(&mut house, true);
    let entries = |number: u64| DncNumbers { numbers: vec![number], ..DncNumbers::default() };
    ask(&mut house, "acme", Command::AddDnc { list: own, entries: entries(8_613_800_138_000) }).unwrap();
    let refused = |reply: &Result<Reply, CommandError>| {
        matches!(reply, Err(CommandError::Compliance { rule: "dnc", .. }))
    };
    for campaign in [None, Some(acme.campaign)] {
        let reply = ask(&mut house, "acme", originate(acme.agent, campaign));
        assert!(refused(&reply), "{campaign:?}: {reply:?}");
    }
    for (list, command) in [(own, "blue"), (shared, "acme")] {
        for command in [
            Command::AddDnc { list, entries: entries(8_613_800_138_001) },
            Command::RemoveDnc { list, entries: entries(8_613_800_138_000) },
            Command::UpdateDncList { list, config: DncListConfig::default(), if_version: None },
            Command::DeleteDncList(list),
        ]
        .map(|of| (command, of))
        {
            let reply = ask(&mut house, command.0, command.1.clone());
            assert!(matches!(reply, Err(CommandError::NotFound { .. })), "{command:?}: {reply:?}");
        }
    }
    // It names its own, and nobody else's.
    let with = |house: &House, id: CampaignId, list| {
        let mut config = house.store.campaigns[&id].config.clone();
        config.dnc_lists = vec![list];
        Command::UpdateCampaign { campaign: id, config: Box::new(config), if_version: None }
    };
    let good = with(&house, acme.campaign, own);
    ask(&mut house, "acme", good).unwrap();
    for (whose, campaign, list) in [("acme", acme.campaign, shared), ("blue", blue.campaign, own)] {
        let wrong = with(&house, campaign, list);
        let reply = ask(&mut house, whose, wrong);
        assert!(matches!(reply, Err(CommandError::Invalid { .. })), "{whose}: {reply:?}");
    }
    // Nor does the operator give it to another.
    let wrong = with(&house, blue.campaign, own);
    assert!(matches!(house.command(wrong), Err(CommandError::Invalid { .. })));
    let Ok(Reply::Call(_)) = ask(&mut house, "blue", originate(blue.agent, None)) else { panic!() };
}
