-- The events that may count, each once.
SELECT fact, unit, time, id, any_value(value) AS value
FROM events WHERE NOT late AND NOT unusable
GROUP BY fact, unit, time, id
