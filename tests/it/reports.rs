//! Public reports of faults in services and libraries like athook's: each case, and the test that holds what
//! is right here.
//!
//! | report | case | what is right | tests |
//! | --- | --- | --- | --- |
//! | transact-rs/sqlx#1739, SeaQL/sea-orm#2579 | a database at `[::1]` is looked up with its brackets | it is connected to | `database_starts::ipv6_address` |
//! | transact-rs/sqlx#67, rust-postgres/rust-postgres#959 | PgBouncer in transaction mode: "prepared statement already exists" | works with `--prepared-statements off`; without, the error says so | `pooled::pgbouncer_in_transaction_mode`, `pooled::pgbouncer_without_the_flag` |
//! | brettwooldridge/HikariCP#1802, cloudnative-pg/cloudnative-pg#1254, keycloak/keycloak#22422 | after a failover pooled sessions stay on a server that is read-only | they are replaced, and the write is tried again | `faults::failover::primary_becomes_read_only`, `faults::failover::primary_is_read_only_once_the_standby_has_taken_over` |
//! | robocopklaus/hassio-addon-blocky#65, vitaly-t/connection-string#42 | a password with `@ / : #` is cut in pieces, which logs then show | exit 2 that says "percent-encode", and no piece of it | `database_starts::wrong_url` |
//! | growthbook/growthbook-proxy#134, reown-com/blockchain-api#527 | the server closes idle connections before the load balancer does, which answers 502 | they are kept for 75 s | `gateway: connections::tests::idle_http1_connection_is_kept_for_its_time` |
//! | Keats/jsonwebtoken#212, jedisct1/rust-jwt-simple#21 | `exp` with a fraction is refused | a NumericDate may have one (RFC 7519) | `gateway: auth::tests::refusals::expiry_with_a_fraction` |
//! | minio/minio#14357, kubernetes/ingress-nginx#6386 | a renewed certificate behind Kubernetes' links is not noticed | it is shown at the next handshake | `reload::certificates` |
//! | tokio-rs/tracing#3271, rustic-rs/rustic#1915 | a line that can't be written ends the program | it is lost and counted; services serve on, tools end with an error | `lost_logs::gateway_serves_and_ends`, `lost_logs::core_service_serves_and_ends`, `tools::output::full_output_is_an_error` |
//! | dotnetcore/FreeSql#2049, alash3al/redix#43 | the first call after `idle_session_timeout` fails with 57P05 | it is tried again on another session | `faults::sessions::ended_for_idling` |
//! | drizzle-team/drizzle-orm#2161, go-pg/migrations#105 | a role that may not create fails although nothing is to be created | it serves | `roles::role_that_only_reads_and_writes_rows` |
//! | DeliciousBuding/metapi-go#531, IBM-Cloud/logistics-wizard-erp#24 | a pool wants more connections than its role may have (53300) | it takes no more, and serves with one | `pooled::few_connections` |
//! | OpenSIPS/opensips-cp#93, IQSS/dataverse#8278 | a database in LATIN1 or SQL_ASCII can't hold a text | the start is refused, and says how to make one in UTF-8 | `database_starts::postgres_that_refuses` |
//! | manomayam/manas#57, nginx/unit#466 | an address to listen on is refused in a library's words, without an example | the text has one, made of what was given | `newcomer::settings_that_do_not_fit` |
//! | 0xERR0R/blocky#1910, n8n-io/task-runner-launcher#92 | `NO_COLOR` is set, and the log has colours | it has none, unless the variable is empty | `newcomer::log_without_colours` |
//! | googleapis/google-cloud-php#509, chef/automate#3554 | a gRPC client can't tell which field is wrong | `google.rpc.BadRequest` has its path, `ErrorInfo` the reason | `grpc_refusals::of_every_rpc`, `grpc_refusals::each_with_its_field_or_its_reason` |
//! | EFForg/https-everywhere#7231, sindresorhus/normalize-url#18 | a host with a final dot counts as another | it is the same URL | `webhook_create::duplicate_url`, `core-service: store::tests::url_form::urls_are_found_once_they_are_hashed_again` |
