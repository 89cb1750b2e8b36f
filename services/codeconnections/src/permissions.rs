//! What operations touch: the record of a connection or a host, whose ARN keeps the name that it was
//! made under, whichever of the two names the operation is asked by.

use cloud::permission::{everywhere, on};
use cloud::{ConditionKey, Cx, Permission, Touched};

use crate::names::{find_connection, find_host, is_host};
use crate::record::{ConnectionRecord, Made};

/// On the connection with this ARN.
pub fn on_connection<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on("Connection", move |cx, it| connection(cx, arn(it)))
}

/// On the host with this ARN.
pub fn on_host<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    on("Host", move |cx, it| host(cx, arn(it)))
}

/// On what a tag operation names by its ARN.
pub fn on_arn<I: 'static>(arn: fn(&I) -> &String) -> Permission<I> {
    let of = move |it: &I| Some(arn(it).clone());
    on("Connection", move |cx, it| {
        of(it)
            .filter(|it| !is_host(it))
            .map(|it| connection(cx, &it))
    })
    .also("Host", move |cx, it| {
        of(it).filter(|it| is_host(it)).map(|it| host(cx, &it))
    })
}

/// On all connections, under the service's name, and under the other one where it was used.
pub fn on_connections<I: 'static>(made: Made, filter: fn(&I) -> Option<String>) -> Permission<I> {
    let names: &'static [&'static str] = match made {
        Made::CodeConnections => &["codeconnections:ProviderTypeFilter"],
        Made::CodeStar => &["codestar-connections:ProviderTypeFilter"],
    };
    on("Connection", move |cx, _| all_connections(cx, made)).supplying(names, move |_, it| {
        vec![ConditionKey::new(names[0], filter(it))]
    })
}

/// Hosts are listed without a filter.
pub fn on_hosts<I>(made: Made) -> Permission<I> {
    let names: &'static [&'static str] = match made {
        Made::CodeConnections => &["codeconnections:ProviderTypeFilter"],
        Made::CodeStar => &["codestar-connections:ProviderTypeFilter"],
    };
    everywhere().supplying(names, |_, _| vec![])
}

/// Provider of a new connection, or the host that tells it.
type Provided<'a> = (Option<String>, Option<&'a String>);

/// A connection to be made: of its provider, or of its host's.
pub fn new_connection<I: 'static>(made: Made, of: fn(&I) -> Provided<'_>) -> Permission<I> {
    let names: &'static [&'static str] = match made {
        Made::CodeConnections => &["codeconnections:ProviderType"],
        Made::CodeStar => &["codestar-connections:ProviderType"],
    };
    everywhere().supplying(names, move |cx, it| {
        let (provider, host) = of(it);
        let of_host = |arn: &String| cx.read(|tx| find_host(cx, tx, arn)).ok();
        let provider =
            provider.or_else(|| host.and_then(of_host).map(|it| it.provider.to_string()));
        vec![ConditionKey::new(names[0], provider)]
    })
}

/// A host to be made: its provider and its VPC.
pub fn new_host<I: 'static>(made: Made, provider: fn(&I) -> String) -> Permission<I> {
    let names: &'static [&'static str] = match made {
        Made::CodeConnections => &["codeconnections:ProviderType", "codeconnections:VpcId"],
        Made::CodeStar => &[
            "codestar-connections:ProviderType",
            "codestar-connections:VpcId",
        ],
    };
    everywhere().supplying(names, move |_, it| {
        // A host in a VPC is refused.
        vec![ConditionKey::new(names[0], Some(provider(it)))]
    })
}

/// On a host of which AWS lets the VPC change; here it is in none.
pub fn on_changed_host<I: 'static>(made: Made, arn: fn(&I) -> &String) -> Permission<I> {
    let names: &'static [&'static str] = match made {
        Made::CodeConnections => &["codeconnections:VpcId"],
        Made::CodeStar => &["codestar-connections:VpcId"],
    };
    on_host(arn).supplying(names, |_, _| vec![])
}

fn connection(cx: &Cx, arn: &str) -> Touched {
    match cx.read(|tx| find_connection(cx, tx, arn)) {
        Ok(found) => Touched::named(found.arn()).tagged(found.tags),
        Err(_) => Touched::absent(arn),
    }
}

fn host(cx: &Cx, arn: &str) -> Touched {
    match cx.read(|tx| find_host(cx, tx, arn)) {
        Ok(found) => Touched::named(found.arn()).tagged(found.tags),
        Err(_) => Touched::absent(arn),
    }
}

fn all_connections(cx: &Cx, made: Made) -> Vec<Touched> {
    let all = cx.read(|tx| tx.list::<ConnectionRecord>(&cx.key("")));
    let of_other = all.map_or(true, |it| it.iter().any(|it| it.made != made));
    let under = |name: Made| Touched::any(cx.arn(name.service(), "connection/*"));
    let names = [Made::CodeConnections, Made::CodeStar];
    let listed = names.into_iter().filter(|it| *it == made || of_other);
    listed.map(under).collect()
}
