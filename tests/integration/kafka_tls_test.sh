#!/usr/bin/env bash
# A broker that takes TLS and a password only: both come by kafka.properties, secrets from files. `pgrekey run`, resync
# and status get there; a wrong password is told as what it is, and no secret is in a log. With tests/run soak.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/kafka.sh
. "$TOP/tests/support/kafka.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

if [ -z "${PGREKEY_TLS:-}" ] && [ "$PGREKEY_KILLS" -lt 100 ]; then
    echo "runs with tests/run soak, or with PGREKEY_TLS=1"
    exit 77
fi

source_start
target_start
source_uuid_ossp
topics_estate

# --- certificates: an authority, and the broker's own by it

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout "$T/ca.key" -out "$T/ca.crt" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$T/broker.key" -out "$T/broker.csr" 2>/dev/null
openssl x509 -req -in "$T/broker.csr" -CA "$T/ca.crt" -CAkey "$T/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo subjectAltName=DNS:localhost) -out "$T/broker.crt" 2>/dev/null
openssl pkcs12 -export -in "$T/broker.crt" -inkey "$T/broker.key" -name broker -passout pass:keystore -out "$T/broker.p12"

# The port that kafka_create chooses stays the one without: the broker itself and the test's own readers use it.
port=$(kafka_free_port)
kafka_create "$T/kafka" "ssl.keystore.type=PKCS12" "ssl.keystore.location=$T/broker.p12" "ssl.keystore.password=keystore" \
    "ssl.key.password=keystore" "sasl.enabled.mechanisms=PLAIN" \
    'listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_pgrekey="tell-nobody";' \
    "listener.name.secure.sasl.enabled.mechanisms=PLAIN"
sed -i "s|^listeners=.*|&,SECURE://localhost:$port|; s|^advertised.listeners=.*|&,SECURE://localhost:$port|
    s|^listener.security.protocol.map=.*|&,SECURE:SASL_SSL|" "$T/kafka/server.properties"
kafka_start "$T/kafka"

echo tell-nobody >"$T/password"
topics_settings
sed -i "s|  bootstrap: .*|  bootstrap: localhost:$port|" "$T/pgrekey.yaml"
sed -i "s|  prefix: shop|&\n  properties: [security.protocol=SASL_SSL, ssl.ca.location=$T/ca.crt, sasl.mechanism=PLAIN, sasl.username=pgrekey, sasl.password=@$T/password]|" "$T/pgrekey.yaml"
engine_start
published
check "published over TLS, with a password" same_items
check "a resync goes that way" pgrekey resync thing --wait 60s
check "status, too" pgrekey status
engine_stop

echo wrong >"$T/password"
pgrekey_fails "a wrong password is told" 3 'Kafka: .*uthentication' run --until-caught-up
rm "$T/password"
pgrekey_fails "a file that is not there is told" 2 'cannot read .*/password' run --until-caught-up
echo tell-nobody >"$T/password"
sed -i 's|ssl.ca.location=[^,]*|ssl.ca.location=/etc/ssl/certs/ca-certificates.crt|' "$T/pgrekey.yaml"
rc=0
timeout 60 "$PGREKEY" --config "$T/pgrekey.yaml" run --until-caught-up >"$T/untrusted.log" 2>&1 || rc=$?
equals "a broker that nobody vouches for is not talked to" 3 "$rc"
check "which is told" grep -q 'SSL' "$T/untrusted.log"
check "no secret is in a log" bash -c "! grep -qE 'tell-nobody|keystore' '$T'/*.log"
test_end
