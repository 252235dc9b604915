//! The http host's paths, and the document that describes them: OpenAPI 3.1, with the library's own schemas.

use perfectpay::{
    ApiKey, ApiKeyUpdate, BlockEntry, BlockRequest, BlocklistGuard, CheckedRouting, ConfirmPayment, Connector,
    ConnectorChoice, ConnectorUpdate, Envelope, FallbackOrder, IssuedApiKey, Merchant, MerchantUpdate, NewApiKey,
    NewConnector, NewMerchant, NewOrganization, NewPayment, NewProfile, NewRoutingProgram, Organization,
    OrganizationUpdate, Payment, PaymentLink, Profile, ProfileId, ProfileUpdate, RemovedConnector, RemovedMerchant,
    RevokedApiKey, RoutingProgram, RoutingRecord, Timestamp, TransactionType,
};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// A schema, once there is a generator that it may refer to definitions of.
type Described = fn(&mut SchemaGenerator) -> Schema;

/// Whose key a call is made with.
#[derive(Clone, Copy, PartialEq)]
enum By {
    /// An account's secret key, or the platform's.
    Key,
    /// The platform's.
    Admin,
    /// Those, or a publishable key with a payment's client secret.
    Client,
    /// Nobody's.
    Nobody,
}

/// One method of one path.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    name: &'static str,
    by: By,
    body: Option<Described>,
    query: &'static [(&'static str, Described)],
    /// The answer; a page where there is none.
    answer: Option<Described>,
}

/// What a type looks like.
fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The answer of a call that may decide a payment: one that was screened out is answered as an error, with status 200.
fn decided(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [of::<Payment>(generator), of::<Envelope>(generator)] })
}

fn blocklist(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "count": { "type": "integer", "minimum": 0 },
            "total_count": { "type": "integer", "minimum": 0 },
            "data": of::<Vec<BlockEntry>>(generator),
        },
        "required": ["count", "total_count", "data"],
        "additionalProperties": false,
    })
}

/// The program that decides, or an empty list.
fn active(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [of::<RoutingProgram>(generator), { "type": "array", "maxItems": 0 }] })
}

fn activation(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": { "transaction_type": of::<Option<TransactionType>>(generator) },
        "additionalProperties": false,
    })
}

fn deactivation(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "profile_id": of::<ProfileId>(generator),
            "transaction_type": of::<Option<TransactionType>>(generator),
        },
        "required": ["profile_id"],
        "additionalProperties": false,
    })
}

fn healthy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "properties": { "status": { "const": "ok" } }, "required": ["status"] })
}

const LIMIT: (&str, Described) = ("limit", of::<u16>);
const LINKS: &[(&str, Described)] = &[
    LIMIT,
    ("created", of::<Timestamp>),
    ("created.lt", of::<Timestamp>),
    ("created.lte", of::<Timestamp>),
    ("created.gt", of::<Timestamp>),
    ("created.gte", of::<Timestamp>),
];
const SECRET: &[(&str, Described)] = &[("client_secret", of::<String>)];
const PROFILE: &[(&str, Described)] = &[("profile_id", of::<ProfileId>)];

macro_rules! stated {
    () => {
        None
    };
    ($described:expr) => {
        Some($described)
    };
}

macro_rules! listed {
    () => {
        &[]
    };
    ($query:expr) => {
        $query
    };
}

/// Takes lines of a method, a path, a name, whose key, and what there is of a query, a body and an answer.
macro_rules! routes {
    ($($method:ident $path:literal $name:ident by $by:ident $([$query:expr])? $(takes $body:expr,)? $(answers $answer:expr)?;)+) => {
        /// Every method of every path that the host serves.
        pub(crate) const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            name: stringify!($name),
            by: By::$by,
            body: stated!($($body)?),
            query: listed!($($query)?),
            answer: stated!($($answer)?),
        },)+];
    };
}

routes! {
    get "/health" health by Nobody answers healthy;
    get "/organization" retrieve_own_organization by Key answers of::<Organization>;
    post "/organization" create_organization by Admin takes of::<NewOrganization>, answers of::<Organization>;
    get "/organization/{organization_id}" retrieve_organization by Key answers of::<Organization>;
    put "/organization/{organization_id}" update_organization by Admin takes of::<OrganizationUpdate>, answers of::<Organization>;
    post "/organization/{organization_id}" update_organization_by_post by Admin takes of::<OrganizationUpdate>, answers of::<Organization>;
    post "/accounts" create_merchant by Admin takes of::<NewMerchant>, answers of::<Merchant>;
    get "/accounts/list" list_merchants by Admin [&[("organization_id", of::<perfectpay::OrganizationId>)]] answers of::<Vec<Merchant>>;
    get "/accounts/{account_id}" retrieve_merchant by Key answers of::<Merchant>;
    put "/accounts/{account_id}" update_merchant by Key takes of::<MerchantUpdate>, answers of::<Merchant>;
    post "/accounts/{account_id}" update_merchant_by_post by Key takes of::<MerchantUpdate>, answers of::<Merchant>;
    delete "/accounts/{account_id}" remove_merchant by Key answers of::<RemovedMerchant>;
    get "/account/{account_id}/business_profile" list_profiles by Key answers of::<Vec<Profile>>;
    post "/account/{account_id}/business_profile" create_profile by Key takes of::<NewProfile>, answers of::<Profile>;
    get "/account/{account_id}/business_profile/{profile_id}" retrieve_profile by Key answers of::<Profile>;
    put "/account/{account_id}/business_profile/{profile_id}" update_profile by Key takes of::<ProfileUpdate>, answers of::<Profile>;
    post "/account/{account_id}/business_profile/{profile_id}" update_profile_by_post by Key takes of::<ProfileUpdate>, answers of::<Profile>;
    delete "/account/{account_id}/business_profile/{profile_id}" remove_profile by Key answers of::<bool>;
    get "/account/{account_id}/connectors" list_connectors by Key answers of::<Vec<Connector>>;
    post "/account/{account_id}/connectors" create_connector by Key takes of::<NewConnector>, answers of::<Connector>;
    get "/account/{account_id}/connectors/{merchant_connector_id}" retrieve_connector by Key answers of::<Connector>;
    put "/account/{account_id}/connectors/{merchant_connector_id}" update_connector by Key takes of::<ConnectorUpdate>, answers of::<Connector>;
    post "/account/{account_id}/connectors/{merchant_connector_id}" update_connector_by_post by Key takes of::<ConnectorUpdate>, answers of::<Connector>;
    delete "/account/{account_id}/connectors/{merchant_connector_id}" remove_connector by Key answers of::<RemovedConnector>;
    post "/api_keys/{account_id}" create_api_key by Key takes of::<NewApiKey>, answers of::<IssuedApiKey>;
    get "/api_keys/{account_id}/list" list_api_keys by Key [&[LIMIT, ("skip", of::<u16>)]] answers of::<Vec<ApiKey>>;
    get "/api_keys/{account_id}/{key_id}" retrieve_api_key by Key answers of::<ApiKey>;
    put "/api_keys/{account_id}/{key_id}" update_api_key by Key takes of::<ApiKeyUpdate>, answers of::<ApiKey>;
    post "/api_keys/{account_id}/{key_id}" update_api_key_by_post by Key takes of::<ApiKeyUpdate>, answers of::<ApiKey>;
    delete "/api_keys/{account_id}/{key_id}" revoke_api_key by Key answers of::<RevokedApiKey>;
    get "/blocklist" list_blocklist by Key [&[("data_kind", of::<String>), LIMIT, ("offset", of::<u16>)]] answers blocklist;
    post "/blocklist" add_to_blocklist by Key takes of::<BlockRequest>, answers of::<BlockEntry>;
    delete "/blocklist" remove_from_blocklist by Key takes of::<BlockRequest>, answers of::<BlockEntry>;
    post "/blocklist/toggle" toggle_blocklist by Key [&[("status", of::<bool>)]] answers of::<BlocklistGuard>;
    post "/payments" create_payment by Key takes of::<NewPayment>, answers decided;
    get "/payments/{payment_id}" retrieve_payment by Client [SECRET] answers of::<Payment>;
    post "/payments/{payment_id}/confirm" confirm_payment by Key takes of::<ConfirmPayment>, answers decided;
    post "/payment_link/list" list_payment_links by Key [LINKS] answers of::<Vec<PaymentLink>>;
    get "/payment_link/{payment_link_id}" retrieve_payment_link by Client [SECRET] answers of::<PaymentLink>;
    get "/payment_link/{merchant_id}/{payment_id}" show_payment_page by Nobody [&[("locale", of::<String>)]];
    get "/payment_link/s/{merchant_id}/{payment_id}" show_framed_payment_page by Nobody [&[("locale", of::<String>)]];
    get "/payment_link/status/{merchant_id}/{payment_id}" show_payment_status by Nobody [&[("locale", of::<String>)]];
    get "/routing" list_routing_programs by Key [&[LIMIT, ("offset", of::<u8>), ("profile_id", of::<ProfileId>)]] answers of::<Vec<RoutingRecord>>;
    post "/routing" create_routing_program by Key takes of::<NewRoutingProgram>, answers of::<CheckedRouting>;
    get "/routing/active" retrieve_active_routing by Key [PROFILE] answers active;
    post "/routing/deactivate" deactivate_routing by Key takes deactivation, answers of::<RoutingRecord>;
    get "/routing/default" retrieve_fallback by Key answers of::<Vec<ConnectorChoice>>;
    post "/routing/default" reorder_fallback by Key takes of::<Vec<ConnectorChoice>>, answers of::<Vec<ConnectorChoice>>;
    get "/routing/default/profile" list_fallbacks by Key answers of::<Vec<FallbackOrder>>;
    post "/routing/default/profile/{profile_id}" reorder_fallback_of_profile by Key takes of::<Vec<ConnectorChoice>>, answers of::<FallbackOrder>;
    get "/routing/{routing_id}" retrieve_routing_program by Key answers of::<RoutingProgram>;
    post "/routing/{routing_id}/activate" activate_routing by Key takes activation, answers of::<CheckedRouting>;
}

/// Where a document keeps its schemas.
const SCHEMAS: &str = "/components/schemas";

/// The document. What is sent is described as it is read, what is answered as it is written; a type of which the two
/// differ is there twice, and the one that is answered has `Answered` behind its name.
pub(crate) fn document() -> Value {
    let settings = || SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut sent = settings().for_deserialize().into_generator();
    let mut answered = settings().for_serialize().into_generator();
    let mut paths = Map::new();
    let routes: Vec<(&Route, Value)> =
        ROUTES.iter().map(|route| (route, operation(route, &mut sent, &mut answered))).collect();
    let (mut schemas, mut written) = (sent.take_definitions(true), answered.take_definitions(true));
    let twice: Vec<String> = different(&schemas, &written);
    for schema in written.values_mut() {
        rename(schema, &twice);
    }
    for (name, schema) in written {
        let name = if twice.contains(&name) { format!("{name}Answered") } else { name };
        schemas.insert(name, schema);
    }
    for (route, mut operation) in routes {
        if let Some(answers) = operation.get_mut("responses") {
            rename(answers, &twice);
        }
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods.as_object_mut().into_iter().for_each(|methods| {
            methods.insert(route.method.to_owned(), operation.clone());
        });
    }
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "PerfectPay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The published API, as the example's host serves it.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "http://127.0.0.1:8080" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "key": {
                "type": "apiKey", "in": "header", "name": "api-key",
                "description": "An account's secret key, the platform's admin key or, where a client secret is sent, an \
                                account's publishable key.",
            } },
        },
    })
}

fn operation(route: &Route, sent: &mut SchemaGenerator, answered: &mut SchemaGenerator) -> Value {
    let mut parameters = Vec::new();
    for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    for (name, schema) in route.query {
        let required = *name == "organization_id";
        parameters.push(json!({ "name": name, "in": "query", "required": required, "schema": schema(sent) }));
    }
    if route.by == By::Key || route.by == By::Client {
        let schema = of::<ProfileId>(sent);
        let description = "Binds the call to one profile.";
        parameters
            .push(json!({ "name": "X-Profile-Id", "in": "header", "description": description, "schema": schema }));
    }
    if route.name.starts_with("create_") || route.name == "add_to_blocklist" || route.name == "confirm_payment" {
        let description = "Repeated with it, the call happens once.";
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        parameters
            .push(json!({ "name": "idempotency-key", "in": "header", "description": description, "schema": schema }));
    }
    let answer = match route.answer {
        Some(answer) => json!({ "application/json": { "schema": answer(answered) } }),
        None => json!({ "text/html": { "schema": { "type": "string" } } }),
    };
    let refused = json!({ "application/json": { "schema": of::<Envelope>(answered) } });
    let words = route.name.replace('_', " ");
    let summary =
        words.chars().next().map(|first| first.to_uppercase().chain(words.chars().skip(1)).collect::<String>());
    let mut operation = json!({
        "operationId": route.name,
        "summary": summary.unwrap_or_default(),
        "parameters": parameters,
        "responses": {
            "200": { "description": "It is done.", "content": answer },
            "default": { "description": "It is refused, and nothing has changed.", "content": refused },
        },
        "security": if route.by == By::Nobody { json!([]) } else { json!([{ "key": [] }]) },
    });
    if let (Some(body), Some(operation)) = (route.body, operation.as_object_mut()) {
        let content = json!({ "application/json": { "schema": body(sent) } });
        operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    operation
}

/// The names under which the two have something else, and those that refer to such a one.
fn different(sent: &Map<String, Value>, answered: &Map<String, Value>) -> Vec<String> {
    let both = || answered.iter().filter_map(|(name, schema)| Some((name, schema, sent.get(name)?)));
    let mut twice: Vec<String> =
        both().filter(|(_, answered, sent)| answered != sent).map(|(name, ..)| name.clone()).collect();
    loop {
        let more: Vec<String> = both()
            .filter(|(name, schema, _)| !twice.contains(name) && twice.iter().any(|other| refers(schema, other)))
            .map(|(name, ..)| name.clone())
            .collect();
        if more.is_empty() {
            return twice;
        }
        twice.extend(more);
    }
}

fn reference(name: &str) -> String {
    format!("#{SCHEMAS}/{name}")
}

fn refers(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Object(members) => {
            members.get("$ref").is_some_and(|to| *to == reference(name))
                || members.values().any(|member| refers(member, name))
        }
        Value::Array(items) => items.iter().any(|item| refers(item, name)),
        _ => false,
    }
}

/// Has what is answered refer to what is answered.
fn rename(schema: &mut Value, twice: &[String]) {
    match schema {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(to) if key == "$ref" => {
                        if twice.iter().any(|name| *to == reference(name)) {
                            to.push_str("Answered");
                        }
                    }
                    _ => rename(member, twice),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, twice)),
        _ => {}
    }
}
