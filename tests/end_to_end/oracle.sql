-- What every experiment of the examples must come to, from the traffic's own file alone. It shares no code with the
-- pipeline. Parameters: the file, the horizon and the tolerance in ms. All windows of the examples are 10 s.
WITH said AS (
    SELECT topic, partition, "offset" AS position, append_time, value,
           value ->> '$.user_id' AS unit,
           coalesce((value ->> '$.time')::BIGINT, append_time) AS moment,
           coalesce(value ->> '$.insert_id', concat_ws('/', topic, partition, "offset")) AS id
    FROM read_ndjson($file, columns = {topic: 'VARCHAR', partition: 'INTEGER', "offset": 'BIGINT',
                                       append_time: 'BIGINT', value: 'JSON'})
    WHERE json_type(value) = 'OBJECT'
      AND json_type(value, '$.user_id') = 'VARCHAR'
      AND coalesce(json_type(value, '$.time'), 'UBIGINT') IN ('UBIGINT', 'BIGINT')
),
in_time AS (
    SELECT * FROM said WHERE moment <= append_time + $tolerance AND append_time - moment <= $horizon
),
arms(flag, variant, is_control) AS (
    VALUES ('checkout-button', 'control', true), ('checkout-button', 'treatment', false),
           ('ranking-aa', 'control', true), ('ranking-aa', 'same', false),
           ('new-player', 'control', true), ('new-player', 'treatment', false),
           ('voucher-hint', 'control', true), ('voucher-hint', 'treatment', false)
),
metrics(flag, metric, event, kind) AS (
    VALUES ('checkout-button', 'purchase', 'purchase', 'conversion'), ('checkout-button', 'revenue', 'purchase', 'sum'),
           ('checkout-button', 'app_error', 'app_error', 'conversion'),
           ('ranking-aa', 'page_views', 'page_view', 'count'), ('ranking-aa', 'purchase', 'purchase', 'conversion'),
           ('new-player', 'purchase', 'purchase', 'conversion'), ('new-player', 'app_error', 'app_error', 'conversion'),
           ('voucher-hint', 'purchase', 'purchase', 'conversion')
),
members AS (
    SELECT arms.flag, unit, min(moment) AS entry, any_value(arms.variant) AS variant
    FROM in_time JOIN arms ON arms.flag = value ->> '$.flag_key' AND arms.variant = value ->> '$.variant'
    WHERE topic = 'exposures' AND (arms.flag, unit) <> ('checkout-button', 'u7') -- whom an inclusion forces
    GROUP BY ALL
    HAVING count(DISTINCT arms.variant) = 1
),
happened AS (
    SELECT DISTINCT unit, moment, id, value ->> '$.event_type' AS event,
           CASE WHEN json_type(value, '$.event_properties.revenue') IN ('DOUBLE', 'UBIGINT', 'BIGINT')
                THEN round_even((value ->> '$.event_properties.revenue')::DOUBLE * 100, 0) END AS cents
    FROM in_time
    WHERE topic = 'events'
),
counted AS (
    SELECT * FROM happened WHERE coalesce(abs(cents) < 1099511627776, true)
),
totals AS (
    SELECT members.flag, members.variant, metrics.metric, members.unit,
           CASE any_value(kind) WHEN 'conversion' THEN (count(counted.moment) > 0)::INT::HUGEINT
                                WHEN 'count' THEN count(counted.moment)::HUGEINT
                                ELSE coalesce(sum(cents::HUGEINT), 0) END AS total
    FROM members
    JOIN metrics USING (flag)
    LEFT JOIN counted ON counted.unit = members.unit AND counted.event = metrics.event
                     AND counted.moment >= members.entry AND counted.moment < members.entry + 10000
    GROUP BY ALL
)
SELECT flag, variant, metric, count(*) AS n, count(*) FILTER (total <> 0) AS nonzero,
       sum(total)::HUGEINT AS sum, sum(total * total)::HUGEINT AS sum_squares
FROM totals GROUP BY ALL ORDER BY ALL
