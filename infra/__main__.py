from infra.stack import build, configured

build(configured())
