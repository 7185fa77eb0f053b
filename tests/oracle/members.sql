-- Who is in which run, since when, in which arm and segments.
WITH shown AS (SELECT * FROM exposures WHERE NOT late AND NOT inactive AND NOT forced)
SELECT run, unit, allocation, variant, segments, time AS entry
FROM shown ANTI JOIN (
    SELECT run, unit FROM shown GROUP BY run, unit, allocation HAVING count(DISTINCT variant) > 1
) jumpers USING (run, unit)
QUALIFY row_number() OVER (PARTITION BY run, unit ORDER BY time, id, allocation, packed) = 1
