// Snippets: what a program is given to ask this server and to send to it, by SDK (docs/protocols.md tells more of each).

/** @typedef {"client" | "server"} Kind Whose key it is: a client's may be looked into by anybody. */

/**
 * @typedef {{ says: string, of: Kind[], write: (server: string, key: string) => string }} Snippet `of`: of whose keys it
 *   makes use.
 */

/** @type {Record<string, Snippet>} */
export const SNIPPETS = {
  browser: {
    says: "JavaScript in browsers (Amplitude)",
    of: ["client"],
    write: (server, key) => `// npm install @amplitude/experiment-js-client
import { Experiment } from "@amplitude/experiment-js-client";

const experiment = Experiment.initialize("${key}", {
  serverUrl: "${server}",
  flagsServerUrl: "${server}",
});
await experiment.start({ user_id: "USER" });
const variant = experiment.variant("FLAG");`,
  },
  node: {
    says: "Node (Amplitude)",
    of: ["server"],
    write: (server, key) => `// npm install @amplitude/experiment-node-server
import { Experiment } from "@amplitude/experiment-node-server";

const experiment = Experiment.initializeLocal("${key}", {
  serverUrl: "${server}",
  streamUpdates: true,
  streamServerUrl: "${server}",
  cohortSyncConfig: { apiKey: "any", secretKey: "${key}", cohortServerUrl: "${server}" },
});
await experiment.start();
const variants = experiment.evaluateV2({ user_id: "USER" });`,
  },
  python: {
    says: "Python (Amplitude)",
    of: ["server"],
    write: (server, key) => `# pip install amplitude-experiment
from amplitude_experiment import CohortSyncConfig, Experiment, LocalEvaluationConfig, User

experiment = Experiment.initialize_local(
    "${key}",
    LocalEvaluationConfig(
        server_url="${server}",
        stream_updates=True,
        stream_server_url="${server}",
        cohort_sync_config=CohortSyncConfig("any", "${key}", cohort_server_url="${server}"),
    ),
)
experiment.start()
variants = experiment.evaluate_v2(User(user_id="USER"))`,
  },
  jvm: {
    says: "JVM (Amplitude)",
    of: ["server"],
    write: (server, key) => `// com.amplitude:experiment-jvm-server
import com.amplitude.experiment.*;

var experiment = Experiment.initializeRemote(
    "${key}", RemoteEvaluationConfig.builder().serverUrl("${server}").build());
var variants = experiment.fetch(ExperimentUser.builder().userId("USER").build()).get();`,
  },
  openfeature: {
    says: "OpenFeature (Python)",
    of: ["client", "server"],
    write: (server, key) => `# pip install openfeature-sdk openfeature-provider-ofrep
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

api.set_provider(OFREPProvider("${server}", headers_factory=lambda: {"Authorization": "Bearer ${key}"}))
value = api.get_client().get_string_value("FLAG", "off", EvaluationContext(targeting_key="USER"))`,
  },
  evaluate: {
    says: "curl: evaluate",
    of: ["client", "server"],
    write: (server, key) => `curl '${server}/sdk/v2/vardata' \\
  --header 'Authorization: Api-Key ${key}' \\
  --json '{"user_id": "USER"}'`,
  },
  send: {
    says: "curl: send events",
    of: ["client", "server"],
    write: (server, key) => `curl '${server}/2/httpapi' --json '{
  "api_key": "${key}",
  "events": [
    {"event_type": "$exposure", "user_id": "USER-1",
     "event_properties": {"flag_key": "FLAG", "variant": "VARIANT"}},
    {"event_type": "purchase", "user_id": "USER-1", "event_properties": {"revenue": 12.5}}
  ]
}'`,
  },
};
