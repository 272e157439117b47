//! The API over TLS: certificates from the configuration, read anew without a restart.

use crate::harness::{Place, TOKEN, block_on, until};
use crate::streams::Authority;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn certify(place: &Place, authority: &Authority) {
    let (_, key, certificate) = authority.certify(&place.daemon);
    // The key first: a certificate that does not fit it leaves the one before in use.
    std::fs::write(place.folder.path().join("api.key"), key.serialize_pem()).unwrap();
    std::fs::write(place.folder.path().join("api.pem"), certificate).unwrap();
}

fn configure(place: &Place, more: &str) {
    place.configure("");
    let text = std::fs::read_to_string(place.config_file()).unwrap();
    let section = format!("[api]\ncertificate = \"api.pem\"\nkey = \"api.key\"\n{more}");
    std::fs::write(place.config_file(), text.replace("[api]\n", &section)).unwrap();
}

fn client(authority: &Authority) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(authority.issuer.pem().as_bytes()).unwrap();
    reqwest::Client::builder().timeout(LONG).no_proxy().add_root_certificate(root).build().unwrap()
}

async fn asked(client: &reqwest::Client, url: &str) -> bool {
    match client.get(url).bearer_auth(TOKEN).send().await {
        Ok(answer) => answer.status() == 200,
        Err(_) => false,
    }
}

#[test]
fn the_api_is_served_over_tls_and_certificates_are_read_anew() {
    block_on(async {
        let place = Place::new();
        let (first, second) = (Authority::new(&place, "one.pem"), Authority::new(&place, "two.pem"));
        certify(&place, &first);
        configure(&place, "");
        let mut daemon = place.start().await;
        let url = format!("https://{}:8080/v1/node", place.daemon);
        // Who says nothing keeps nobody waiting.
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(TcpStream::connect((place.daemon.as_str(), 8080)).await.unwrap());
        }
        let kept = client(&first);
        assert!(asked(&kept, &url).await, "{}", daemon.log_text());
        assert!(!asked(&client(&second), &url).await, "another authority is not believed");
        let plain = url.replace("https", "http");
        assert!(!asked(&kept, &plain).await, "nothing is told without TLS");
        let (api, file) = (format!("https://{}:8080", place.daemon), place.folder.path().join("one.pem"));
        let said = tokio::task::spawn_blocking(move || {
            Command::new(env!("CARGO_BIN_EXE_dialerd"))
                .args(["ctl", "--api", &api, "--token", TOKEN, "--ca"])
                .arg(file)
                .arg("agents")
                .output()
                .unwrap()
        });
        let said = said.await.unwrap();
        assert!(said.status.success(), "{said:?}");

        certify(&place, &second);
        let status = Command::new("kill").arg("-HUP").arg(daemon.id().to_string()).status().unwrap();
        assert!(status.success());
        until("the new certificate is shown", async || asked(&client(&second), &url).await).await;
        assert!(!asked(&client(&first), &url).await);
        // What cannot be used changes nothing.
        std::fs::write(place.folder.path().join("api.pem"), "no certificate").unwrap();
        Command::new("kill").arg("-HUP").arg(daemon.id().to_string()).status().unwrap();
        until("the fault is told", async || daemon.log_text().contains("the one before stays in use")).await;
        assert!(asked(&client(&second), &url).await);
        drop(silent);
        daemon.terminate();
        assert!(daemon.ended().await.success());
    });
}

/// The version of HTTP that curl was answered in, and the status.
async fn spoken(arguments: Vec<String>) -> String {
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let run = move || {
        let fixed = ["-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "-H"];
        Command::new("curl").args(fixed).arg(authorization).args(arguments).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn clients_choose_between_the_two_versions_of_http() {
    block_on(async {
        let place = Place::new();
        let authority = Authority::new(&place, "ca.pem");
        certify(&place, &authority);
        configure(&place, "");
        let _daemon = place.start().await;
        let ca = place.folder.path().join("ca.pem").display().to_string();
        let url = format!("https://{}:8080/v1/node", place.daemon);
        for (wanted, answered) in [("--http2", "2 200"), ("--http1.1", "1.1 200")] {
            let arguments = [wanted, "--cacert", &ca, &url];
            assert_eq!(spoken(arguments.map(str::to_owned).to_vec()).await, answered, "{wanted}");
        }

        let place = Place::new();
        place.configure("");
        let _daemon = place.start().await;
        let url = format!("http://{}:8080/v1/node", place.daemon);
        for (wanted, answered) in [("--http2-prior-knowledge", "2 200"), ("--http1.1", "1.1 200")] {
            assert_eq!(spoken([wanted, &url].map(str::to_owned).to_vec()).await, answered, "{wanted}");
        }
    });
}

#[test]
fn clients_without_a_certificate_are_not_let_in_where_one_is_asked_for() {
    block_on(async {
        let place = Place::new();
        let authority = Authority::new(&place, "ca.pem");
        certify(&place, &authority);
        configure(&place, "ca = \"ca.pem\"\n");
        let _daemon = place.start().await;
        let url = format!("https://{}:8080/v1/node", place.daemon);
        assert!(!asked(&client(&authority), &url).await);
        let (_, key, certificate) = authority.certify("console.example.test");
        let identity =
            reqwest::Identity::from_pem(format!("{certificate}{}", key.serialize_pem()).as_bytes());
        let root = reqwest::Certificate::from_pem(authority.issuer.pem().as_bytes()).unwrap();
        let known = reqwest::Client::builder()
            .use_rustls_tls()
            .no_proxy()
            .timeout(LONG)
            .add_root_certificate(root)
            .identity(identity.unwrap())
            .build()
            .unwrap();
        assert!(asked(&known, &url).await);
    });
}
