-- What the traffic's own file says, record by record, as far as it can be used: it shares no code with the pipeline.
-- Parameters: the file, the horizon and the tolerance in ms.
WITH read AS (
    SELECT topic, append_time, value, concat_ws('/', topic, partition, "offset", 0) AS place,
           json_type(value, ['$', '$.user_id', '$.time', '$.event_properties.revenue']) AS kind,
           value ->> ['$.user_id', '$.device_id', '$.platform', '$.flag_key', '$.variant', '$.event_type', '$.time',
                      '$.insert_id', '$.event_properties.page', '$.event_properties.revenue',
                      '$.metadata.flagVersion'] AS text
    FROM read_ndjson($file, columns = {topic: 'VARCHAR', partition: 'INTEGER', "offset": 'BIGINT',
                                       append_time: 'BIGINT', value: 'JSON'})
),
said AS (
    SELECT topic, append_time, value, text[1] AS user_id, text[2] AS device_id, text[3] AS platform, text[4] AS flag,
           text[5] AS variant, text[6] AS event, coalesce(text[7]::BIGINT, append_time) AS time,
           coalesce(text[8], place) AS name, text[9] AS page, text[10] AS paid,
           text[11]::INTEGER AS flag_version,
           CASE WHEN kind[4] IN ('DOUBLE', 'UBIGINT', 'BIGINT') THEN text[10]::DOUBLE END AS revenue
    FROM read
    WHERE kind[1] = 'OBJECT' AND kind[2] = 'VARCHAR' AND coalesce(kind[3], 'UBIGINT') IN ('UBIGINT', 'BIGINT')
)
SELECT *, append_time - time > $horizon AS late FROM said
WHERE time <= append_time + $tolerance
