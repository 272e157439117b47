//! Why a campaign does not dial, for each reason in turn, in plain words.

use crate::house::{House, NOW, ROOT};
use dialer_core::record::{LeadProgress, LeadState};
use dialer_core::{AgentFact, CallFact, CallId, CallOrder, Effect, Input, LeadId, Record};
use serde_json::{Value, json};

/// A running campaign with a trunk that is up, so many leads, and nobody at work.
pub(crate) struct Idle {
    pub(crate) house: House,
    pub(crate) list: String,
    pub(crate) path: String,
}

impl Idle {
    pub(crate) async fn with(leads: u32, settings: Value) -> Idle {
        let house = House::new();
        let trunk = house.trunk().await;
        house.patch(&format!("/v1/trunks/{trunk}"), json!({"options_interval_ms": 0})).await.is(200);
        let list = house.list().await;
        let rows: String = (0..leads).map(|n| format!("1380013{n:04}\n")).collect();
        if leads > 0 {
            house
                .import(&format!("/v1/lists/{list}/leads:import"), "text/csv", format!("phone\n{rows}"))
                .await;
        }
        let campaign = house.campaign(&[&list]).await;
        let path = format!("/v1/campaigns/{campaign}");
        house.patch(&path, settings).await.is(200);
        Idle { house, list, path }
    }

    pub(crate) async fn started(leads: u32, settings: Value) -> Idle {
        let idle = Idle::with(leads, settings).await;
        idle.house.act(&format!("{}:start", idle.path)).await.is(200);
        idle
    }

    /// An agent who is ready, with a session that is up.
    pub(crate) async fn agent(&self, name: &str) -> String {
        let id = self.house.agent(name).await;
        self.house.act(&format!("/v1/agents/{id}:login")).await.is(200);
        self.registered(&id);
        self.fact(Input::Agent(AgentFact::SessionUp { agent: id.parse().unwrap() }));
        id
    }

    fn registered(&self, agent: &str) {
        self.fact(Input::Agent(AgentFact::Registered(dialer_core::record::ContactRow {
            agent: agent.parse().unwrap(),
            uri: "sip:a@127.0.0.1".into(),
            source: "127.0.0.1:5070".into(),
            listener: 0,
            expires_at: NOW.plus_millis(3_600_000),
        })));
    }

    pub(crate) fn fact(&self, input: Input) {
        self.house.core.lock().unwrap().input(input);
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.house.core.lock().unwrap().pass(ms);
    }

    /// The calls dialled so far.
    pub(crate) fn dialled(&self) -> Vec<CallId> {
        let core = self.house.core.lock().unwrap();
        let dial = |effect: &Effect| match effect {
            Effect::Call(CallOrder::DialCustomer { call, .. }) => Some(*call),
            _ => None,
        };
        core.orders.iter().filter_map(dial).collect()
    }

    pub(crate) fn answer(&self, call: CallId) {
        for fact in [
            CallFact::Dialled { call },
            CallFact::Ringing { call, early_media: false },
            CallFact::Answered { call },
        ] {
            self.fact(Input::Call(fact));
        }
    }

    /// Sets how far all leads have come, as if they had been dialled before.
    pub(crate) async fn moved(&self, change: impl Fn(&mut LeadProgress)) {
        let leads = self.house.get(&format!("/v1/lists/{}/leads", self.list)).await.is(200).json();
        let mut records = vec![];
        for lead in leads["data"].as_array().unwrap() {
            let id: LeadId = lead["id"].as_str().unwrap().parse().unwrap();
            let mut progress = LeadProgress::fresh(id);
            change(&mut progress);
            records.push(Record::LeadChanged(progress));
        }
        let mut core = self.house.core.lock().unwrap();
        core.write(records);
    }

    /// Checks the reason and a part of the sentence, which must be one.
    #[track_caller]
    pub(crate) fn check(told: &Value, limited_by: &str, part: &str) {
        let summary = told["summary"].as_str().unwrap();
        assert_eq!(told["limited_by"], limited_by, "{summary}");
        assert!(summary.contains(part), "{summary:?} does not say {part:?}");
        assert!(summary.ends_with('.') && !summary.contains('\n'), "{summary:?}");
    }

    pub(crate) async fn told(&self) -> Value {
        self.house.get(&format!("{}/diagnostics", self.path)).await.is(200).json()
    }
}

#[tokio::test]
async fn by_its_state() {
    let idle = Idle::with(1, json!({})).await;
    Idle::check(&idle.told().await, "paused", "stopped; start it");
    idle.house.act(&format!("{}:start", idle.path)).await.is(200);
    idle.house.act(&format!("{}:pause", idle.path)).await.is(200);
    Idle::check(&idle.told().await, "paused", "paused; resume it");
}

#[tokio::test]
async fn by_the_calling_window() {
    let closed = json!({"calling_hours": {"from": "00:00", "to": "00:01", "utc_offset": "+08:00"}});
    let idle = Idle::started(1, closed).await;
    Idle::check(&idle.told().await, "window", "outside the campaign's calling hours");
    // 10:03 in China.
    let windows = json!({"calling_windows": {"hours": [{"from": "20:00", "to": "21:00"}]}});
    let idle = Idle::started(3, windows).await;
    let told = idle.told().await;
    Idle::check(
        &told,
        "window",
        "3 are outside the calling windows where they are; the first may be called at ",
    );
    assert_eq!(told["leads"]["screened"]["outside_windows"], 3);
}

#[tokio::test]
async fn by_do_not_call_lists() {
    let idle = Idle::with(2, json!({})).await;
    let dnc = idle.house.post("/v1/dnc-lists", json!({"name": "all", "everywhere": true})).await;
    let dnc = idle.house.made(&dnc);
    let numbers = json!({"numbers": ["+8613800130000", "+8613800130001"]});
    idle.house.post(&format!("/v1/dnc-lists/{dnc}/numbers"), numbers).await;
    idle.house.act(&format!("{}:start", idle.path)).await.is(200);
    let told = idle.told().await;
    Idle::check(&told, "hopper", "2 are on a do-not-call list");
    assert_eq!(told["leads"]["dnc"], 2);
}

#[tokio::test]
async fn by_attempts_and_by_the_wait_for_the_next_one() {
    let idle = Idle::with(2, json!({"caps": {"per_lead": 2}})).await;
    idle.moved(|progress| {
        progress.state = LeadState::RetryWait;
        progress.attempts = 2;
    })
    .await;
    idle.house.act(&format!("{}:start", idle.path)).await.is(200);
    Idle::check(&idle.told().await, "hopper", "2 have no attempts left");
    let idle = Idle::with(2, json!({})).await;
    idle.moved(|progress| {
        progress.state = LeadState::RetryWait;
        progress.attempts = 1;
        progress.next_at = Some(NOW.plus_millis(3_600_000));
    })
    .await;
    idle.house.act(&format!("{}:start", idle.path)).await.is(200);
    let told = idle.told().await;
    Idle::check(
        &told,
        "hopper",
        "All 2 leads that are left wait for their next try; the first is due at 2026-10-01T03:03",
    );
    assert_eq!(told["leads"]["retry_wait"], 2);
}

#[tokio::test]
async fn by_the_hopper() {
    let idle = Idle::started(0, json!({})).await;
    Idle::check(&idle.told().await, "leads", "have no leads");
    let idle = Idle::started(1, json!({"filter": "priority > 5"})).await;
    Idle::check(&idle.told().await, "filter", "1 are not matched by the campaign's filter");
    let idle = Idle::started(1, json!({})).await;
    idle.agent("1001").await;
    idle.pass(100);
    let call = idle.dialled()[0];
    idle.answer(call);
    Idle::check(&idle.told().await, "hopper", "No lead is left to dial");
}

#[tokio::test]
async fn by_lines_and_by_calls_per_second() {
    let idle = Idle::started(5, json!({"concurrency": {"max": 1}})).await;
    idle.agent("1001").await;
    idle.agent("1002").await;
    idle.pass(2_000);
    assert_eq!(idle.dialled().len(), 1);
    Idle::check(&idle.told().await, "lines", "All lines are in use: 1 of 1 of the campaign");
    let idle = Idle::started(5, json!({"concurrency": {"cps": 0.01}})).await;
    idle.agent("1001").await;
    idle.agent("1002").await;
    idle.pass(2_000);
    assert_eq!(idle.dialled().len(), 1);
    Idle::check(&idle.told().await, "cps", "New calls per second are at their limit: 0.01 of the campaign, ");
}

#[tokio::test]
async fn by_agents() {
    let idle = Idle::started(5, json!({})).await;
    Idle::check(&idle.told().await, "agents", "There is no agent.");
    let one = idle.house.agent("1001").await;
    Idle::check(&idle.told().await, "agents", "None of the 1 agents is logged in.");
    idle.house.act(&format!("/v1/agents/{one}:login")).await.is(200);
    Idle::check(&idle.told().await, "agents", "The phones of all 1 logged-in agents are out of reach.");
    idle.house.post(&format!("/v1/agents/{one}:pause"), json!({"code": "tea"})).await.is(200);
    Idle::check(&idle.told().await, "agents", "All 1 logged-in agents are on a break.");
    let two = idle.agent("1002").await;
    idle.pass(100);
    let call = idle.dialled()[0];
    idle.answer(call);
    idle.fact(Input::Call(CallFact::Bridged { call }));
    idle.pass(1_000);
    Idle::check(&idle.told().await, "agents", "No agent is free or about to be: 1 talking");
    idle.fact(Input::Agent(AgentFact::Unregistered { agent: two.parse().unwrap() }));
    assert_eq!(idle.house.get(&format!("/v1/agents/{two}")).await.is(200).json()["registered"], false);
}

#[tokio::test]
async fn by_offers_that_were_missed() {
    let idle = Idle::started(9, json!({"timers": {"bridge_deadline_ms": 2_000}})).await;
    let agent = idle.house.agent("1001").await;
    idle.registered(&agent);
    idle.house.post(&format!("/v1/agents/{agent}:login"), json!({"session": "on_demand"})).await.is(200);
    idle.pass(100);
    let call = idle.dialled()[0];
    idle.answer(call);
    let cause = dialer_core::EndCause::NoAnswer;
    let agent_id = agent.parse().unwrap();
    idle.fact(Input::Call(CallFact::AgentFailed { call, agent: agent_id, cause, sip_code: Some(480) }));
    Idle::check(
        &idle.told().await,
        "agents",
        "The phones of all 1 logged-in agents are out of reach, 1 of them left alone for a while after a missed offer.",
    );
    for _ in 0..4 {
        idle.pass(61_000);
        let call = *idle.dialled().last().unwrap();
        idle.answer(call);
        idle.fact(Input::Call(CallFact::AgentFailed { call, agent: agent_id, cause, sip_code: Some(480) }));
    }
    Idle::check(
        &idle.told().await,
        "agents",
        "All 1 logged-in agents are on a break, 1 of them because of missed offers.",
    );
    assert_eq!(
        idle.house.get(&format!("/v1/agents/{agent}")).await.is(200).json()["pause_code"],
        "missed_offers"
    );
}

#[tokio::test]
async fn by_draining_and_by_trunks() {
    let idle = Idle::started(2, json!({})).await;
    idle.agent("1001").await;
    let trunks = idle.house.get("/v1/trunks").await.is(200).json();
    let trunk = format!("/v1/trunks/{}", trunks["data"][0]["id"].as_str().unwrap());
    idle.house.patch(&trunk, json!({"enabled": false})).await.is(200);
    Idle::check(&idle.told().await, "trunk", "No trunk of this campaign is enabled.");
    idle.house.patch(&trunk, json!({"enabled": true})).await.is(200);
    idle.house.post("/v1/node:drain", json!({})).await;
    Idle::check(&idle.told().await, "draining", "The node is draining");
}

#[tokio::test]
async fn by_the_store() {
    let idle = Idle::started(2, json!({})).await;
    idle.fact(Input::StoreHealth { healthy: false });
    Idle::check(&idle.told().await, "store", "Records cannot be written now");
    idle.fact(Input::StoreHealth { healthy: true });
    Idle::check(&idle.told().await, "agents", "There is no agent.");
}

/// Whose lead it is is away: nothing is being loaded, and nobody else has it.
#[tokio::test]
async fn by_owners_who_are_away() {
    let idle = Idle::started(0, json!({"owner_only": true})).await;
    let lead = json!({"phone": "+8613800138000", "fields": {"owner": "1002"}});
    idle.house.post(&format!("/v1/lists/{}/leads", idle.list), lead).await.is(201);
    idle.agent("1001").await;
    idle.pass(3_000);
    let told = idle.told().await;
    Idle::check(&told, "owner", "1 are their owners' alone, and these are not at work");
    assert_eq!(told["leads"]["screened"]["owner_away"], 1);
    idle.agent("1002").await;
    idle.pass(3_000);
    assert_ne!(idle.told().await["limited_by"], "owner");
}

#[tokio::test]
async fn an_import_is_refused_while_nothing_can_be_written() {
    let idle = Idle::with(0, json!({})).await;
    let path = format!("/v1/lists/{}/leads:import", idle.list);
    let import = || idle.house.import_as(ROOT, &path, "text/csv", "phone\n+8613800138000\n");
    idle.fact(Input::StoreHealth { healthy: false });
    import().await.problem(503, "store_unavailable");
    idle.fact(Input::StoreHealth { healthy: true });
    import().await.is(200);
}

/// Two people answered and one of them met nobody: more than the cap.
#[tokio::test]
async fn by_the_abandonment_cap() {
    let pacing = json!({"abandon_target": 0.0, "abandon_cap": 0.0, "cap_style": "hard"});
    let idle = Idle::started(9, json!({"mode": "predictive", "pacing": pacing})).await;
    let agent = idle.agent("1001").await;
    idle.pass(100);
    let call = idle.dialled()[0];
    idle.house.post(&format!("/v1/agents/{agent}:pause"), json!({"code": "tea"})).await.is(200);
    idle.answer(call);
    idle.pass(3_000);
    idle.house.act(&format!("/v1/agents/{agent}:ready")).await.is(200);
    let told = idle.told().await;
    assert_eq!(told["abandonment"]["abandoned"], 1, "{told}");
    assert_eq!(told["abandonment"]["cap"], 0.0);
}
