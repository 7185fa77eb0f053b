"""What the transport relies on in Faust and aiokafka, private parts included: an upgrade that changes it fails here."""

import asyncio
import inspect
import re
from importlib.metadata import version

import faust
import mode
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.fetch import FetchResponse_v4, FetchResponse_v11
from faust.tables.manager import TableManager
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver

from pipeline.kafka.columnar.app import App, AppProcess, Tables, create_app
from pipeline.kafka.columnar.consumer import ColumnsThread, Consumer, Sleeper, Transport
from pipeline.kafka.columnar.fetches import ColumnRecords
from pipeline.kafka.columnar.schema import RecordsSchema

OVERRIDDEN = {
    (Consumer, driver.Consumer): {
        "_new_consumer_thread",
        "subscribe",
        "_wait_next_records",
        "_to_message",
        "_add_gap",
        "ack",
        "_new_offset",
        "_commit",
        "perform_seek",
        "on_partitions_revoked",
        "verify_all_partitions_active",
    },
    (ColumnsThread, driver.AIOKafkaConsumerThread): {
        "_create_worker_consumer",
        "on_start",
        "on_thread_stop",
        "_stopped_set",
        "_keepalive2",
    },
    (Sleeper, mode.Service): {"sleep"},
    (AppProcess, faust.Worker): {"on_setup_root_logger", "install_signal_handlers", "_sentinel_task"},
    (Tables, TableManager): {"on_start"},
    (App, faust.App): {
        "on_first_start",
        "on_start",
        "on_stop",
        "on_started_init_extra_tasks",
        "_on_rebalance_when_stopped",
    },
}


@pytest.mark.parametrize(("package", "series"), [("aiokafka", "0.14."), ("faust-streaming", "0.15.")])
def test_the_versions_are_those_the_overrides_were_written_for(package, series):
    assert version(package).startswith(series)


@pytest.mark.parametrize(
    ("ours", "theirs", "name"), [(*pair, name) for pair, names in OVERRIDDEN.items() for name in sorted(names)]
)
def test_an_overridden_method_has_the_parameters_of_the_original(ours, theirs, name):
    original, override = getattr(theirs, name), vars(ours)[name]

    assert list(inspect.signature(override).parameters) == list(inspect.signature(original).parameters)
    assert inspect.iscoroutinefunction(override) == inspect.iscoroutinefunction(original)


@pytest.mark.parametrize(("ours", "theirs"), OVERRIDDEN)
def test_nothing_is_overridden_by_accident(ours, theirs):
    shared = {name for name, part in vars(ours).items() if inspect.isfunction(part) and hasattr(theirs, name)}

    assert shared - {"__init__"} == OVERRIDDEN[ours, theirs]


def test_the_scheme_chooses_the_transport_and_the_transport_the_consumer():
    assert TRANSPORTS.by_name("peekproof") is Transport

    async def build():
        app = create_app("contract", "127.0.0.1:9092,[::1]:9093")
        assert type(app.consumer) is Consumer
        assert type(app.consumer._thread) is ColumnsThread
        assert driver.server_list(app.transport.url, 9092) == ["127.0.0.1:9092", "[::1]:9093"]

    asyncio.run(build())


def test_faust_s_consumer_keeps_its_books_where_ours_looks():
    async def build():
        consumer = create_app("contract", "127.0.0.1:9092").consumer
        tp = faust.types.TP("t", 0)
        assert consumer._acked[tp] == []
        assert consumer._acked_index[tp] == set()
        assert consumer._read_offset[tp] is None
        assert consumer._committed_offset[tp] is None
        assert consumer._paused_partitions == consumer._get_active_partitions() == set()
        assert consumer._gap == {}
        assert inspect.iscoroutinefunction(consumer._on_partitions_revoked)
        assert {"self", "timeout"} == set(inspect.signature(driver.Consumer.getmany).parameters)

    asyncio.run(build())


def test_the_client_is_made_with_faust_s_security_and_sizes_and_reads_only_what_is_committed():
    async def build():
        credentials = faust.SASLCredentials(username="user", password="secret", mechanism="PLAIN")
        app = create_app(
            "contract", "127.0.0.1:9092", broker_credentials=credentials, consumer_max_fetch_size=16_000_000
        )
        client = app.consumer._thread._create_worker_consumer(app.transport)
        assert client._isolation_level == "read_committed"
        assert client._auto_offset_reset == "none"
        assert client._max_partition_fetch_bytes == 16_000_000
        assert client._client._sasl_mechanism == "PLAIN"
        assert client._client._security_protocol == "SASL_PLAINTEXT"
        assert client._enable_auto_commit is False
        client._closed = True

    asyncio.run(build())


def test_an_app_without_tables_waits_for_none_and_a_process_for_nothing():
    begun = inspect.getsource(TableManager.on_start).partition("await self.sleep(1.0)\n")[2]
    assert inspect.getsource(Tables.on_start).endswith(begun)
    assert inspect.getsource(faust.Worker._sentinel_task).endswith("    await asyncio.sleep(1.0)\n")
    assert create_app("contract", "127.0.0.1:9092").conf.TableManager is Tables


def test_a_member_with_a_name_stays_when_the_client_ends_and_one_without_leaves():
    source = inspect.getsource(GroupCoordinator._maybe_leave_group)

    assert "if self.generation > 0 and self._group_instance_id is None:" in source


def test_the_client_builds_its_fetcher_of_what_we_set_on_it():
    source = inspect.getsource(AIOKafkaConsumer.start)

    assert "isolation_level=self._isolation_level" in source
    assert "auto_offset_reset=self._auto_offset_reset" in source
    assert fetcher.OffsetResetStrategy.from_str("none") == fetcher.OffsetResetStrategy.NONE


def test_the_fetcher_asks_its_client_and_keeps_one_result_per_partition():
    process = inspect.signature(fetcher.Fetcher._proc_fetch_request)

    assert list(process.parameters) == ["self", "assignment", "node_id", "request"]
    assert list(inspect.signature(fetcher.Fetcher.end_offsets).parameters) == ["self", "partitions", "timeout_ms"]
    assert "self._isolation_level" in inspect.getsource(fetcher.Fetcher._proc_offset_request)
    source = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "await self._client.send(node_id, request)" in source
    assert "self._records[tp] = FetchResult(" in source
    result = fetcher.FetchResult(None, assignment=None, partition_records=None, backoff=0)
    assert result._partition_records is None
    theirs = fetcher.PartitionRecords(None, None, [(1, 9), (2, 3)], 7, None, None, True, 0)
    assert (theirs.next_fetch_offset, theirs._aborted_transactions) == (7, [(2, 3), (1, 9)])


def test_aiokafka_uses_nothing_of_partition_records_that_ours_lack():
    ours = set(dir(ColumnRecords)) | {"next_fetch_offset"}

    used = set(re.findall(r"_partition_records\.(\w+)", inspect.getsource(fetcher)))

    assert used
    assert used <= ours


@pytest.mark.parametrize("response", [FetchResponse_v4, FetchResponse_v11])
def test_the_records_are_the_last_field_of_a_partition_in_a_response(response):
    topics = next(
        field for name, field in zip(response.SCHEMA.names, response.SCHEMA.fields, strict=True) if name == "topics"
    )
    partitions = topics.array_of.fields[1].array_of

    assert partitions.names[:3] == ("partition", "error_code", "highwater_offset")
    assert partitions.names[-1] == "message_set"


def test_a_schema_s_compile_is_called_as_faust_calls_it():
    async def decode():
        app = create_app("contract", "127.0.0.1:9092")
        function = RecordsSchema().compile(app, on_key_decode_error=None, on_value_decode_error=None)
        message = faust.types.Message("t", 0, 9, 0.0, 0, None, None, "records", None)
        return await function(message, propagate=True)

    event = asyncio.run(decode())

    assert (event.value, event.message.offset) == ("records", 9)
    assert list(inspect.signature(faust.Schema.compile).parameters)[:2] == ["self", "app"]
