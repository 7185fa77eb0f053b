-- The events that may count, each once, and how often it was repeated.
SELECT fact, unit, time, id, any_value(value) AS value, count(*) - 1 AS repeats
FROM events WHERE NOT late AND NOT unusable
GROUP BY fact, unit, time, id
