-- What the traffic's own file says, record by record, as far as it can be used: it shares no code with the pipeline.
-- Parameters: the file, the horizon and the tolerance in ms.
WITH said AS (
    SELECT topic, partition, "offset" AS position, append_time, value,
           value ->> '$.user_id' AS user_id, value ->> '$.device_id' AS device_id, value ->> '$.platform' AS platform,
           value ->> '$.flag_key' AS flag, value ->> '$.variant' AS variant, value ->> '$.event_type' AS event,
           value ->> '$.event_properties.page' AS page,
           CASE WHEN json_type(value, '$.event_properties.revenue') IN ('DOUBLE', 'UBIGINT', 'BIGINT')
                THEN (value ->> '$.event_properties.revenue')::DOUBLE END AS revenue,
           coalesce((value ->> '$.time')::BIGINT, append_time) AS time,
           coalesce(value ->> '$.insert_id', concat_ws('/', topic, partition, "offset", 0)) AS name
    FROM read_ndjson($file, columns = {topic: 'VARCHAR', partition: 'INTEGER', "offset": 'BIGINT',
                                       append_time: 'BIGINT', value: 'JSON'})
    WHERE json_type(value) = 'OBJECT'
      AND json_type(value, '$.user_id') = 'VARCHAR'
      AND coalesce(json_type(value, '$.time'), 'UBIGINT') IN ('UBIGINT', 'BIGINT')
)
SELECT *, append_time - time > $horizon AS late FROM said
WHERE time <= append_time + $tolerance AND coalesce(abs(round_even(revenue * 100, 0)) < 1099511627776, true)
