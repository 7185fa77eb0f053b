-- Of each unit's every variable the stretch of time [since, until) whose events make it up: after its entry, and before.
-- Other metrics' count before it alone.
SELECT v.*, s.unit, 'after' AS role, s.entry AS since,
    least(s.entry + coalesce(m.span, 1::BIGINT << 60), coalesce(r.ends, 1::BIGINT << 60)) AS until
FROM members s JOIN metrics m ON m.run = s.run AND s.entry >= m.since
JOIN runs r ON r.run = s.run JOIN variables v ON v.run = s.run AND v.metric = m.metric AND NOT v.is_other
UNION ALL
SELECT v.*, s.unit, 'before',
    greatest((s.entry // m.width - 14) * m.width, (m.recorded + m.width - 1) // m.width * m.width),
    s.entry // m.width * m.width
FROM members s JOIN metrics m ON m.run = s.run AND s.entry >= m.since AND m.width IS NOT NULL
JOIN variables v ON v.run = s.run AND v.metric = m.metric AND (v.is_other OR v.pasts > 0)
